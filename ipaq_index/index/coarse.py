"""Centroids in a byte a coordinate, and what says in which order lists are probed.

All are scored in whole numbers: beside sums of float32 products that is three to eight times as fast, and a query alone
reads a quarter of the memory. Some more than wanted are then multiplied in full, and decide.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import empty, fill, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.quantizer.lanes import FLOATS, I64, WIDTH, Builder, Value, load
from ipaq_index.scan import BLOCK
from ipaq_index.scan.block import plain_products
from ipaq_index.scan.emit import shuffle
from ipaq_index.scan.emit_dense import REST as TOGETHER
from ipaq_index.scan.frame import TINY, TOP_WEIGHT
from ipaq_index.scan.packed import QUAD

HALF = 63  # levels are 64 - 63 ... 64 + 63
KEYS = 64  # keys are looked at so many at a time
LANES = WIDTH  # sums of a product that are kept apart

Floats = npt.NDArray[np.float32]


class Coarse(NamedTuple):
    """Centroids; with c one of them, and y and z that and a query less ``middle``, a list's key is ``w <q, c> + shift``
    = ``w <z, y> + w <z, middle> + (w <middle, c> + shift)``. What is the same for all is left out of keys.

    Attributes
    ----------
    levels : (blocks, quads, 32, 4) uint8
        Of 32 centroids each: ``64 + y / step``, rounded.
    scales, tilts, biases : (blocks, 32) float32
        ``w step``, and of the second and third summand of a key what depends on the list; -inf where there is none.
    middle : (d,) float32
        The median of all centroids: what they share leaves nothing to round, and a few that lie far out do no harm.
    centroids : (nlist, d) float32
    weights, shifts : (nlist,) float32
        w and shift.
    """

    levels: npt.NDArray[np.uint8]
    scales: Floats
    tilts: Floats
    biases: Floats
    middle: Floats
    centroids: Floats
    weights: Floats
    shifts: Floats

    @classmethod
    def of(cls, centroids: Floats, weights: Floats, shifts: Floats) -> "Coarse":
        """Round centroids."""
        nlist, d = centroids.shape
        blocks, quads = -(-nlist // BLOCK), -(-d // QUAD)
        levels = np.full((blocks * BLOCK, quads * QUAD), HALF + 1, dtype=np.uint8)
        scales, tilts, biases = np.zeros((3, blocks * BLOCK), dtype=np.float32)
        middle = np.zeros(d, dtype=np.float32)
        biases.fill(-np.inf)
        if nlist:
            middle[:] = np.median(centroids, axis=0)
            tall, away = weights.astype(np.float64), centroids.astype(np.float64) - middle
            steps = np.abs(away).max(axis=1, initial=0) / HALF
            of_lists = tall * (centroids @ middle.astype(np.float64)) + shifts
            rounded = np.rint(away / np.where(steps > 0, steps, 1)[:, None])
            levels[:nlist, :d] = rounded.astype(np.int64) + (HALF + 1)
            scales[:nlist], tilts[:nlist], biases[:nlist] = tall * steps, tall - tall.mean(), of_lists - of_lists.mean()
        blocked = np.ascontiguousarray(levels.reshape(blocks, BLOCK, quads, QUAD).transpose(0, 2, 1, 3))
        scales, tilts, biases = (one.reshape(blocks, BLOCK) for one in (scales, tilts, biases))
        return cls(blocked, scales, tilts, biases, middle, centroids, weights, shifts)


class Sights(NamedTuple):
    """Room to score centroids for `TOGETHER` queries.

    Attributes
    ----------
    weights : (quads, 4, 4) int8
        Of each query for the coordinates of a quad.
    start : (4,) int32
        Where their sums begin.
    sums : (4, 32) int32
    offsets, factors : (4,) float32
        Of each query ``<z, middle>``, and the step of its weights.
    keys : (4, nlist or more) float32
        Result, nearly those of `Coarse`; then -inf up to a multiple of `KEYS`.
    """

    weights: npt.NDArray[np.int8]
    start: npt.NDArray[np.int32]
    sums: npt.NDArray[np.int32]
    offsets: Floats
    factors: Floats
    keys: Floats


@inner
def make_sights(coarse: Coarse) -> Sights:
    """Return room for what `score_centroids` makes."""
    blocks, quads = coarse.levels.shape[:2]
    keys = empty((TOGETHER, -(-blocks * BLOCK // KEYS) * KEYS), np.float32)
    fill(keys, -np.inf)
    weights, start = zeros((quads, TOGETHER, QUAD), np.int8), zeros(TOGETHER, np.int32)
    sums, numbers = empty((TOGETHER, BLOCK), np.int32), empty((2, TOGETHER), np.float32)
    return Sights(weights, start, sums, numbers[0], numbers[1], keys)


@inner
def score_centroids(isa: Any, coarse: Coarse, q: Floats, sights: Sights) -> None:
    """Fill ``sights.keys`` for up to 4 queries, (nq, d)."""
    weights, start, sums, offsets, factors, keys = sights
    middle, scales, tilts, biases = coarse.middle, coarse.scales, coarse.tilts, coarse.biases
    for g in range(len(q)):
        step, offset, total = np.float32(0), np.float32(0), np.int32(0)
        for j in range(len(middle)):
            away = q[g, j] - middle[j]
            step = max(step, abs(away))
            offset += away * middle[j]
        step = max(step / np.float32(TOP_WEIGHT), TINY)
        for j in range(len(middle)):
            weight = np.int32(np.rint((q[g, j] - middle[j]) / step))
            weights[j // QUAD, g, j % QUAD] = np.int8(weight)
            total += weight
        start[g], offsets[g], factors[g] = -(HALF + 1) * total, offset, step
    for block in range(len(scales)):
        plain_products(isa, coarse.levels, block, weights, 0, start, sums)
        for g in range(len(q)):
            offset, factor = offsets[g], factors[g]
            for i in range(BLOCK):
                product = (scales[block, i] * factor) * np.float32(sums[g, i])
                keys[g, BLOCK * block + i] = product + (tilts[block, i] * offset + biases[block, i])


def multiply_centroid(q: Floats, centroids: Floats, number: int) -> np.float32:
    """Return ``<q, centroid>``: the same bits wherever it is needed, 16 sums apart and then by halves."""
    whole = len(q) - len(q) % LANES
    sums, total = np.zeros(LANES, dtype=np.float32), np.float32(0)
    for j in range(0, whole, LANES):
        sums += q[j : j + LANES] * centroids[number, j : j + LANES]
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    for j in range(whole, len(q)):
        total += q[j] * centroids[number, j]
    return np.float32(sums[0] + total)


@emitted(multiply_centroid, forceinline=True)
def _multiply_centroid(q: Floats, centroids: Floats, number: int) -> Any:
    def emitted(q: Floats, centroids: Floats, number: int) -> np.float32:
        whole, total = len(q) - len(q) % LANES, np.float32(0)
        for j in range(whole, len(q)):
            total += q[j] * centroids[number, j]
        return emit_dot(q.ctypes.data, centroids.ctypes.data + number * centroids.strides[0], whole) + total

    return emitted


@intrinsic
def emit_dot(_context: Any, a: Any, b: Any, dims: Any) -> tuple[Any, Any]:
    """The sums over dimensions in sixteens; arrays as addresses."""

    def generate(_context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        sums = cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * LANES))
        with cgutils.for_range_slice(builder, ir.Constant(I64, 0), arguments[2], ir.Constant(I64, LANES), intp=I64) as (
            j,
            _,
        ):
            place = builder.mul(j, ir.Constant(I64, 4))
            one, other = (load(builder, FLOATS, array, place) for array in arguments[:2])
            builder.store(builder.fadd(builder.load(sums), builder.fmul(one, other)), sums)
        total = builder.load(sums)
        for width in (8, 4, 2, 1):
            low, high = (shuffle(builder, total, total, list(range(n, n + width))) for n in (0, width))
            total = builder.fadd(low, high)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.intp, types.intp, types.intp), generate
