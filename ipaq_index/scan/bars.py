"""A test of look-ups in 16-bit whole numbers that nearly all rows fail: only those that pass need scores.

A row of scale s reaches the floor if its look-ups reach ``needed / s - start``, where needed is the floor less the
shift. Over side, the row's scale code, that is a curve that falls. It is bounded from below by a line of the slope that
it has where good rows are, lowered by as much as need be within each of 32 ranges of side. All of it is proportional to
needed, so that it is worked out once for many floors.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import inner, instructions
from ipaq_index.scan.emit import I16, I32, I64, Builder, Value, floats, ints, load, shuffle, splat, spread, store
from ipaq_index.scan.emit_lookups import BAR_BITS
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.packed import Meaning, Rows
from ipaq_index.scan.reservoir import Best

RANGES = 1 << BAR_BITS
PARTS = 16  # of a range: within each, the curve's end and the line's beginning are taken
ENDS, LINES, BEGINS = PARTS - 1, PARTS, PARTS + 1  # rows of `Curve.lows`
SIDES = 65536 // (RANGES * PARTS)  # values of side, shifted up to 16 bits, in a part
HUGE = 1e30  # in place of 1 / 0
INEXACT = 1 / 64  # units by which floats may be off
ROW, BYTES = ir.VectorType(ir.DoubleType(), RANGES), 8 * RANGES

Doubles = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """What rows must reach to pass.

    Attributes
    ----------
    lows : (18, 32) float64
        By range of side, 1 / scale at the end of each of its parts; then the least of ``1 / scale + slope * side``, and
        1 / scale before the range begins.
    slope : (1,) float64
        Of the line, turned upwards.
    """

    lows: Doubles
    slope: Doubles


@inner
def make_curve(rows: Rows, meaning: Meaning) -> Curve:
    """Return the curve of a format of scales; no lines yet."""
    lows = empty((PARTS + 2, RANGES), np.float64)
    invert_scales(lows, 16 - 8 * rows.side.itemsize, meaning.scale_format)
    return Curve(lows, zeros(1, np.float64))


@inner
def bend(rows: Rows, best: Best, q: int, curve: Curve) -> None:
    """Give the curve the slope that it has at the mean side of a query's best rows so far."""
    held, total = best.counts[q], 0
    for n in range(held):
        total += int(rows.side[best.rows[q, n]])
    mean = (total << (16 - 8 * rows.side.itemsize)) // max(held, 1) if held else 1 << 15
    lows = curve.lows
    first = max(mean // SIDES - PARTS // 2, 0)
    last = min(first + PARTS, RANGES * PARTS - 1)
    fall = lows[first % PARTS, first // PARTS] - lows[last % PARTS, last // PARTS]
    curve.slope[0] = fall / (SIDES * (last - first))
    lower_lines(lows, curve.slope[0])


@inner(forceinline=True)
def fill_bars(frame: Frame, curve: Curve) -> None:
    """Set ``frame.passing`` for its floor and shift."""
    needed = np.float64(frame.bars[2, 0]) - np.float64(frame.bars[1, 0])
    slope, row = np.ceil(needed * curve.slope[0] * 65536), LINES
    if not 0 < slope <= 65535:
        slope, row = 0.0, ENDS if needed > 0 else BEGINS  # below 0 the curve rises
    set_bars(frame.passing, curve.lows, row, needed, frame.start[0] + INEXACT)
    frame.passing[RANGES] = np.uint16(np.int32(slope))


def invert_scales(lows: Doubles, down: int, scale_format: tuple[int, int, int]) -> None:
    """Fill all rows of `Curve.lows` but that of the lines; ``down`` is by how much sides are shifted up to 16 bits."""
    state_bits, base, step = scale_format
    last = np.arange(RANGES) * (SIDES * PARTS) + (np.arange(PARTS)[:, None] + 1) * SIDES - 1
    codes = last >> (down + state_bits)
    scales = np.where(codes > 0, base + step * codes, 0).astype(np.int32).view(np.float32)
    lows[:PARTS] = 1 / np.maximum(scales.astype(np.float64), 1 / HUGE)
    lows[BEGINS, 0], lows[BEGINS, 1:] = HUGE, lows[ENDS, :-1]


def lower_lines(lows: Doubles, slope: float) -> None:
    """Set the row of lines in `Curve.lows`."""
    lows[LINES] = (lows[:PARTS] + slope * (np.arange(RANGES) * PARTS + np.arange(PARTS)[:, None]) * SIDES).min(axis=0)


def set_bars(passing: npt.NDArray[np.uint16], lows: Doubles, row: int, needed: float, start: float) -> None:
    """Set ``frame.passing`` to ``needed * lows[row]`` look-ups.

    Products with side are rounded down by less than 1: in whole numbers, no row that reaches the line is below its bar.
    """
    bars = needed * lows[row] - start
    passing[:RANGES] = np.minimum(np.where(bars > 0, bars, 0), 65535).astype(np.uint16)


@instructions(invert_scales)
def _invert_scales(context: Any, lows: Any, down: Any, scale_format: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = _address(context, builder, signature.args[0], arguments[0])
        state_bits, base, step = cgutils.unpack_tuple(builder, arguments[2])
        lanes = ints(RANGES)
        shift = _filled(builder, builder.add(state_bits, arguments[1]))
        last = ir.Constant(lanes, [place * SIDES * PARTS + SIDES - 1 for place in range(RANGES)])
        with cgutils.for_range(builder, ir.Constant(I64, PARTS)) as loop:
            more = _filled(builder, builder.mul(loop.index, ir.Constant(I64, SIDES)))
            codes = builder.lshr(builder.add(last, more), shift)
            bits = builder.add(_filled(builder, base), builder.mul(_filled(builder, step), codes))
            none = builder.icmp_unsigned("==", codes, splat(lanes, 0))
            scales = builder.bitcast(builder.select(none, splat(lanes, 0), bits), floats(RANGES))
            scales = _ordered(builder, ">", builder.fpext(scales, ROW), _all(1 / HUGE))
            store(builder, builder.fdiv(_all(1), scales), start, builder.mul(loop.index, ir.Constant(I64, BYTES)))
        ends = load(builder, ROW, start, ENDS * BYTES)
        begins = shuffle(builder, _all(HUGE), ends, [0, *range(RANGES, 2 * RANGES - 1)])
        store(builder, begins, start, BEGINS * BYTES)
        return context.get_dummy_value()

    return types.void(lows, types.intp, types.UniTuple(types.intp, 3)), generate


@instructions(lower_lines)
def _lower_lines(context: Any, lows: Any, slope: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = _address(context, builder, signature.args[0], arguments[0])
        slope, sides = (spread(builder, ROW, arguments[1]), ir.Constant(ROW, [float(PARTS * n) for n in range(RANGES)]))
        least = cgutils.alloca_once_value(builder, ir.Constant(ROW, [np.inf] * RANGES))
        with cgutils.for_range(builder, ir.Constant(I64, PARTS)) as loop:
            part = spread(builder, ROW, builder.sitofp(loop.index, ROW.element))
            rise = builder.fmul(builder.fmul(slope, builder.fadd(sides, part)), _all(SIDES))
            low = load(builder, ROW, start, builder.mul(loop.index, ir.Constant(I64, BYTES)))
            builder.store(_ordered(builder, "<", builder.fadd(low, rise), builder.load(least)), least)
        store(builder, builder.load(least), start, LINES * BYTES)
        return context.get_dummy_value()

    return types.void(lows, types.float64), generate


@instructions(set_bars)
def _set_bars(context: Any, passing: Any, lows: Any, row: Any, needed: Any, start: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, begin = (_address(context, builder, signature.args[n], arguments[n]) for n in range(2))
        lines = load(builder, ROW, begin, builder.mul(arguments[2], ir.Constant(I64, BYTES)))
        needed, start = (spread(builder, ROW, value) for value in arguments[3:])
        bars = _ordered(builder, ">", builder.fsub(builder.fmul(needed, lines), start), _all(0))
        whole = builder.fptosi(_ordered(builder, "<", bars, _all(65535)), ints(RANGES))
        store(builder, builder.trunc(whole, ir.VectorType(I16, RANGES)), out)
        return context.get_dummy_value()

    return types.void(passing, lows, types.intp, types.float64, types.float64), generate


def _address(context: Any, builder: Builder, kind: Any, array: Value) -> Value:
    return builder.ptrtoint(make_array(kind)(context, builder, array).data, I64)


def _all(value: float) -> Value:
    return ir.Constant(ROW, [float(value)] * RANGES)


def _filled(builder: Builder, value: Value) -> Value:
    return spread(builder, ints(RANGES), builder.trunc(value, I32))


def _ordered(builder: Builder, how: str, one: Value, other: Value) -> Value:
    """Return the larger (">") or smaller ("<") elements; those of the second where the first is not a number."""
    return builder.select(builder.fcmp_ordered(how, one, other), one, other)
