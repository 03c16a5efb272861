"""What a run costs: phase timers, peak memory, parameters, floating-point operations, latency."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.autograd.graph import Node

STATM = Path("/proc/self/statm")
SAMPLE_SECONDS = 0.004
ENOUGH_SECONDS = 1.0  # of timed calls: slow ones are few, since what they vary by is small beside what they take
FEWEST_CALLS = 2


class Timers:
    """Seconds by phase. A GPU is waited for at both ends of a phase."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = self.now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - begin

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


def anonymous_bytes() -> int:
    """Anonymous memory of this process; where the system does not tell it apart, its resident memory."""
    if STATM.exists():
        _, resident, shared = (int(field) for field in STATM.read_text().split()[:3])
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return int(psutil.Process().memory_info().rss)


def trim_memory() -> None:
    """Give freed memory back to the system, so that one phase's leftovers do not count in the next."""
    import gc

    gc.collect()
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KEPT_BELOW = 2**30  # bytes: larger tensors are still asked of the system each


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next: every step asks for the same sizes again.

    The system would otherwise clear each large gradient's pages anew, a twentieth of a step of full fine-tuning. What
    is kept goes back where a phase begins (`trim_memory`).
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BELOW)
        library.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BELOW - 1)


class MemoryMonitor:
    """Peak memory of a phase: sampled on a CPU, the allocator's own figures on CUDA.

    A CPU figure is above `baseline`, the anonymous memory that the process began with.
    """

    def __init__(self, device: torch.device, baseline: int) -> None:
        self.device, self.baseline = device, baseline
        self.peak = 0
        self.peak_reserved: int | None = None
        self._done = threading.Event()

    def __enter__(self) -> MemoryMonitor:
        trim_memory()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._done.is_set():
            self.peak = max(self.peak, anonymous_bytes() - self.baseline)
            self._done.wait(SAMPLE_SECONDS)

    def so_far(self) -> int:
        """The peak up to now, in bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return max(self.peak, anonymous_bytes() - self.baseline)

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device)
            self.peak_reserved = torch.cuda.max_memory_reserved(self.device)
        else:
            self._done.set()
            self._thread.join()
            self.peak = max(self.peak, anonymous_bytes() - self.baseline)


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Trainable and total parameters, a tied weight counted once."""
    parameters = list(module.parameters())  # torch gives a shared parameter once
    return sum(p.numel() for p in parameters if p.requires_grad), sum(map(_weights_in, parameters))


def _weights_in(parameter: nn.Parameter) -> int:
    """How many weights a parameter holds: of one in four bits, two in each of its numbers."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)


def count_flops(loss: Callable[[], Tensor]) -> int:
    """Operations of the forward and, where there is a graph, backward pass of `loss()`, by torch's counter.

    Gradients are thrown away and torch's random streams are left where they were.
    """
    from torch.utils.flop_counter import FlopCounterMode

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    counter = FlopCounterMode(display=False, custom_mapping=_attention_kernels() | _low_precision_kernels())
    with torch.random.fork_rng(devices=devices), counter:
        value = loss()
        if value.requires_grad:
            # Not autograd.grad: the counter's hooks fail in it where a module is called with a parameter (DeBERTa).
            kept = [(leaf, leaf.grad) for leaf in _leaves(value) if leaf.requires_grad]
            for leaf, _ in kept:
                leaf.grad = None
            value.backward()
            for leaf, gradient in kept:
                leaf.grad = gradient
    return int(counter.get_total_flops())


# The kernels that torch may choose for attention, by the ends of their names.
ATTENTION_KERNELS = (
    "flash_attention_for_cpu",
    "flash_attention",
    "efficient_attention",
    "cudnn_attention",
    "fused_attention_overrideable",
)


def _attention_kernels() -> dict[object, Callable[..., int]]:
    """How attention is counted: the same on every device.

    Torch's own counter leaves the CPU's kernel out, and refuses those of GPUs where several query heads share a key.
    """
    counted: dict[object, Callable[..., int]] = {}
    for name in ATTENTION_KERNELS:
        for ending, count in (("", _attention_flops), ("_backward", _attention_backward_flops)):
            kernel = getattr(torch.ops.aten, f"_scaled_dot_product_{name}{ending}", None)
            if kernel is not None:
                counted[kernel] = count
    return counted


def _low_precision_kernels() -> dict[object, Callable[..., int]]:
    """How products with weights in fewer bits are counted, where there are such: as those in float32."""
    found: dict[object, Callable[..., int]] = {}
    for name, count in (("gemm_4bit", _packed_product_flops), ("int8_scaled_mm", _product_flops)):
        kernel = getattr(torch.ops.bitsandbytes, name, None)
        if kernel is not None:
            found[kernel] = count
    return found


def _packed_product_flops(
    values: torch.Size, packed: torch.Size, shape: Sequence[int], *_: object, **__: object
) -> int:
    """Of values (..., K) with a matrix of this shape (N, K)."""
    return 2 * math.prod(values) * shape[0]


def _product_flops(values: torch.Size, weights: torch.Size, *_: object, **__: object) -> int:
    """Of values (..., K) with weights (N, K)."""
    return 2 * math.prod(values) * weights[0]


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    """By torch's formula; the arguments are shapes (batch, heads, length, width)."""
    from torch.utils.flop_counter import sdpa_flop_count

    return int(sdpa_flop_count(query, _for_each(query, key), _for_each(query, value)))


def _attention_backward_flops(
    gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    from torch.utils.flop_counter import sdpa_backward_flop_count

    return int(sdpa_backward_flop_count(gradient, query, _for_each(query, key), _for_each(query, value)))


def _for_each(query: torch.Size, shared: torch.Size) -> torch.Size:
    """The shape of keys or values once each query head has its own: a shared one is multiplied with each."""
    return torch.Size((*query[:2], *shared[2:]))


def _leaves(value: Tensor) -> list[Tensor]:
    """The parameters that a value depends on, from its graph."""
    seen: set[Node] = set()
    leaves: list[Tensor] = []
    queue: list[Node | None] = [value.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        queue.extend(parent for parent, _ in node.next_functions)
    return leaves


@dataclass(frozen=True)
class Latency:
    """Milliseconds of calls: their median and their 95th percentile."""

    p50: float
    p95: float

    def of_each(self, texts: int) -> Latency:
        """Of each of the texts that a call has answered."""
        return Latency(self.p50 / texts, self.p95 / texts)

    def costs(self, name: str) -> dict[str, float]:
        """As fields of a record."""
        return {name: self.p50, f"{name}_p95": self.p95}


@torch.no_grad()
def latency_ms(forward: Callable[[int], object], device: torch.device, calls: int, warm: bool = False) -> Latency:
    """Latency of `forward(i)` for i = 0, 1, ..., after one call that is not counted, unless it is `warm` already.

    Of at most `calls` calls; of fewer, but two, once they have taken a second. On a processor a first call that takes a
    second by itself is counted, and is the only one: what it warms up is little of that.
    """
    timers = Timers(device)

    def timed(number: int) -> float:
        begin = timers.now()
        forward(number)
        return 1000 * (timers.now() - begin)

    first = timed(0)
    counted = warm or (device.type == "cpu" and first >= 1000 * ENOUGH_SECONDS)
    milliseconds = [first] if counted else []
    while len(milliseconds) < calls and not _is_enough(milliseconds):
        milliseconds.append(timed(len(milliseconds)))
    last = max(0, math.ceil(0.95 * len(milliseconds)) - 1)
    return Latency(median(milliseconds), sorted(milliseconds)[last])


def _is_enough(milliseconds: list[float]) -> bool:
    fewest = 1 if max(milliseconds, default=0.0) >= 1000 * ENOUGH_SECONDS else FEWEST_CALLS
    return len(milliseconds) >= fewest and sum(milliseconds) >= 1000 * ENOUGH_SECONDS


@cache
def processor_name() -> str:
    """The CPU's model name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
