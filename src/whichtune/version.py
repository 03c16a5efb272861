"""The package's version, for records, which must not need the rest."""

VERSION = "0.1.0"
