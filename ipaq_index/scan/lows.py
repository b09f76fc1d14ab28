"""The best lower estimates of each query, in order: inserted without a branch, which no CPU could foresee.

Next to a heap of ten, each of whose steps is one, this spares a twentieth of the time of a search through lists. It
takes time in proportion to their number, so for many neighbours a heap is better.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ipaq_index.arrays import fill
from ipaq_index.inner import emitted, inner
from ipaq_index.scan.emit import I64, floats, load, spread, store

LANES = 16

Floats = npt.NDArray[np.float32]


def make_lows(queries: int, k: int) -> Floats:
    """Return (queries, parts + 1, 16) float32: at least ``k`` numbers each, ascending, still -inf; then inf."""
    lows = np.empty((queries, -(-k // LANES) + 1, LANES), dtype=np.float32)
    lows[:, :-1], lows[:, -1] = -np.inf, np.inf
    return lows


@inner
def clear_lows(lows: Floats) -> None:
    """Forget all numbers."""
    fill(lows, -np.inf)
    for q in range(len(lows)):
        for lane in range(LANES):
            lows[q, lows.shape[1] - 1, lane] = np.inf


def insert_low(lows: Floats, address: int, q: int, value: np.float32) -> None:
    """Put ``value`` in its place among the numbers of query ``q`` and drop the least.

    Parameters
    ----------
    lows : (queries, parts + 1, 16) float32
    address : int
        Where ``lows`` begins.
    """
    numbers = lows[q].reshape(-1)
    last = len(numbers) - LANES
    numbers[:last] = np.minimum(np.maximum(numbers[:last], value), numbers[1 : last + 1])


@emitted(insert_low)
def _insert_low(lows: Floats, address: int, q: int, value: np.float32) -> Any:
    def emitted(lows: Floats, address: int, q: int, value: np.float32) -> None:
        place = address + q * lows.strides[0]
        for _ in range(lows.shape[1] - 1):
            emit_insert(place, np.float32(value))
            place += 4 * LANES

    return emitted


@intrinsic
def emit_insert(_context: Any, address: Any, value: Any) -> Any:
    """Do it for 16 numbers: each becomes the value, but no less than it was and no more than the next one was."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = floats(LANES)
        new = spread(builder, kind, arguments[1])
        here = load(builder, kind, arguments[0])
        after = load(builder, kind, arguments[0], ir.Constant(I64, 4))
        most = builder.select(builder.fcmp_ordered("<", here, new), new, here)
        store(builder, builder.select(builder.fcmp_ordered("<", after, most), after, most), arguments[0])
        return context.get_dummy_value()

    return types.void(types.intp, types.float32), generate
