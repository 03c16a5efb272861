"""A trained row as others use it."""
