"""What the user asks of an index, checked once and kept with it."""

import math
import os
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Literal, cast, get_args

import numpy as np

from ipaq_index.index.refine import REFINES, Refine
from ipaq_index.index.validation import as_count

Metric = Literal["ip", "cosine", "l2"]
METRICS = get_args(Metric)
SCALE_BYTES = 2
# Below so many bits a dimension, of a budget in bytes, scale and first state share one byte: eight bits more of codes
# are worth more. At 50 dimensions, recalls of seven kinds of data rise by 0.03 to 0.17 at 5 bytes, of four by 0.01 to
# 0.04 at 8; at 14 bytes some rise and some fall by 0.006.
ONE_BYTE_BITS = 1.5
MOST_THREADS = 64  # where there are fewer cores, whatever a caller, or a file, asks for
NORM_BYTES = 4  # metric "l2" keeps -|x|²/2 beside the codes, in float32


@dataclass(frozen=True)
class IndexConfig:
    """Parameters of an index; see `ipaq_index.Index` for what they mean.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of its kind or outside its range; the message names it.
    """

    dim: int
    bits: float | None = None
    bytes_per_vector: int | None = None
    metric: Metric = "ip"
    encoding: str = "auto"
    states: int = 256
    r: float = 0.5
    rounding: str = "nearest"
    objective: str | None = None
    transform: str = "auto"
    nlist: int | Literal["auto"] | None = None
    refine: Refine | None = None
    seed: int = 0
    threads: int | None = None
    scale_bytes: int | None = None  # for scale and first state; decided here

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", as_count(self.dim, "dim"))
        object.__setattr__(self, "seed", as_count(self.seed, "seed", least=0))
        if self.metric not in METRICS:
            raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.nlist is not None and self.nlist != "auto":
            if isinstance(self.nlist, str):
                raise ValueError(f"nlist: expected a number of lists, 'auto' or None, got {self.nlist!r}")
            object.__setattr__(self, "nlist", as_count(self.nlist, "nlist"))
        if self.refine is not None and self.refine not in REFINES:
            raise ValueError(f"refine: expected None or one of {', '.join(REFINES)}, got {self.refine!r}")
        if self.bits is not None and self.bytes_per_vector is not None:
            raise ValueError("bits, bytes_per_vector: expected one of the two, got both")
        if self.bytes_per_vector is not None:
            object.__setattr__(self, "bytes_per_vector", as_count(self.bytes_per_vector, "bytes_per_vector"))
        else:
            object.__setattr__(self, "bits", _bits(4 if self.bits is None else self.bits))
        if self.threads is not None:
            object.__setattr__(self, "threads", as_count(self.threads, "threads"))
        if self.scale_bytes is None:
            object.__setattr__(self, "scale_bytes", 1 if self._is_small(self.bytes_per_vector) else SCALE_BYTES)
        elif self.scale_bytes not in (1, SCALE_BYTES):
            raise ValueError(f"scale_bytes: expected 1 or {SCALE_BYTES}, got {self.scale_bytes!r}")

    @property
    def side_bytes(self) -> int:
        """Bytes beside a vector's codes: scale, norm and finer vector."""
        return cast(int, self.scale_bytes) + self._other_bytes

    @property
    def _other_bytes(self) -> int:
        """Bytes of norm and finer vector."""
        fine = {None: 0, "fp16": 2, "sq8": 1}[self.refine] * self.dim
        return (NORM_BYTES if self.metric == "l2" else 0) + fine

    def _is_small(self, budget: int | None) -> bool:
        """Whether one byte is for scale and first state."""
        if budget is None or self.rounding == "stochastic":
            return False
        return 8 * (budget - self._other_bytes) < ONE_BYTE_BITS * self.dim

    def code_bytes(self) -> int:
        """Bytes of codes a vector may take.

        Raises
        ------
        ValueError
            If ``bytes_per_vector`` leaves no room for codes, or asks for more than 8 bits a dimension.
        """
        if self.bytes_per_vector is None:
            return math.ceil(cast(float, self.bits) * self.dim / 8)
        side_bytes = self.side_bytes
        other = self._other_bytes
        least = other + 2 if self._is_small(other + 2) else other + SCALE_BYTES + 1
        most = other + SCALE_BYTES + self.dim
        if not least <= self.bytes_per_vector <= most:
            raise ValueError(
                f"bytes_per_vector: expected {least} to {most} at dim={self.dim} and metric={self.metric!r} "
                f"({side_bytes} of them for scale, norm and refinement), got {self.bytes_per_vector}"
            )
        return self.bytes_per_vector - side_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-able values; ``IndexConfig(**d)`` reads them back."""
        return asdict(self)


def _bits(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"bits: expected a number, got {value!r} ({type(value).__name__})")
    bits = float(value)
    if not 0 < bits <= 8:
        raise ValueError(f"bits: expected more than 0 and at most 8 bits a dimension, got {value}")
    return bits


def thread_count(*choices: int | None) -> int:
    """Return the first choice that is not None, else the number of cores this process may use."""
    for choice in choices:
        if choice is not None:
            count = as_count(choice, "threads")
            return count if count <= MOST_THREADS else min(count, max(MOST_THREADS, cores()))
    return cores()


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
