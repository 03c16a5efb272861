"""Tiny models are fastest on one thread, above all where other work shares the machine."""

import torch

torch.set_num_threads(1)
