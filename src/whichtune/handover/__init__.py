"""A trained row as others use it: on plain transformers, peft or onnxruntime, without whichtune."""
