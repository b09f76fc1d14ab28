"""A test of look-ups in 16-bit whole numbers that nearly all rows fail: only those that pass need scores.

A row of scale s reaches the floor if its look-ups reach ``needed / s - start``, where needed is the floor less the
shift. Over side, the row's scale code, that is a curve that falls. It is bounded from below by a line of the slope that
it has where good rows are, lowered by as much as need be within each of 32 ranges of side. All of it is proportional to
needed, so that it is worked out once for many floors.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import inner
from ipaq_index.scan.block import scale
from ipaq_index.scan.emit_lookups import BAR_BITS
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.kernel import Best
from ipaq_index.scan.packed import Meaning, Rows

RANGES = 1 << BAR_BITS
PARTS = 16  # of a range: within each, the curve's end and the line's beginning are taken
SIDES = 65536 // (RANGES * PARTS)  # values of side, shifted up to 16 bits, in a part
HUGE = 1e30  # in place of 1 / 0
INEXACT = 1 / 64  # units by which floats may be off


class Curve(NamedTuple):
    """What rows must reach to pass.

    Attributes
    ----------
    inverse : (512,) float64
        1 / scale at the end of each part.
    begins, ends : (32,) float64
        1 / scale at the beginning and at the end of each range, or before and behind it.
    lines : (32,) float64
        By range of side, the least of ``1 / scale + slope * side``.
    slope : (1,) float64
        Of the line, turned upwards.
    """

    inverse: npt.NDArray[np.float64]
    begins: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    lines: npt.NDArray[np.float64]
    slope: npt.NDArray[np.float64]


@inner
def make_curve(rows: Rows, meaning: Meaning) -> Curve:
    """Return the curve of a format of scales; no lines yet."""
    down = 16 - 8 * rows.side.itemsize
    inverse, begins, ends = empty(RANGES * PARTS, np.float64), empty(RANGES, np.float64), empty(RANGES, np.float64)
    for part in range(RANGES * PARTS):
        last = ((part + 1) * SIDES - 1) >> down
        inverse[part] = 1 / max(np.float64(scale(last, meaning.scale_format)), 1 / HUGE)
    for place in range(RANGES):
        begins[place] = inverse[place * PARTS - 1] if place else HUGE
        ends[place] = inverse[(place + 1) * PARTS - 1]
    return Curve(inverse, begins, ends, zeros(RANGES, np.float64), zeros(1, np.float64))


@inner
def bend(rows: Rows, best: Best, q: int, curve: Curve) -> None:
    """Give the curve the slope that it has at the mean side of a query's best rows so far."""
    held, total = best.counts[q], 0
    for n in range(held):
        total += int(rows.side[best.rows[q, n]])
    mean = (total << (16 - 8 * rows.side.itemsize)) // max(held, 1) if held else 1 << 15
    inverse, lines, slope = curve.inverse, curve.lines, curve.slope
    first = max(mean // SIDES - PARTS // 2, 0)
    last = min(first + PARTS, len(inverse) - 1)
    slope[0] = (inverse[first] - inverse[last]) / (SIDES * (last - first))
    for place in range(RANGES):
        least = np.inf
        for part in range(place * PARTS, (place + 1) * PARTS):
            least = min(least, inverse[part] + slope[0] * (part * SIDES))
        lines[place] = least


@inner(forceinline=True)
def fill_bars(frame: Frame, curve: Curve) -> None:
    """Set ``frame.passing`` for its floor and shift."""
    needed = np.float64(frame.bars[2, 0]) - np.float64(frame.bars[1, 0])
    slope = np.ceil(needed * curve.slope[0] * 65536)
    if 0 < slope <= 65535:
        fill(frame, curve.lines, needed, slope)
    elif needed > 0:
        fill(frame, curve.ends, needed, 0.0)
    else:  # the curve rises
        fill(frame, curve.begins, needed, 0.0)


@inner(forceinline=True)
def fill(frame: Frame, lines: npt.NDArray[np.float64], needed: float, slope: float) -> None:
    """Set ``frame.passing`` to ``needed * lines`` look-ups.

    Products with side are rounded down by less than 1: in whole numbers, no row that reaches the line is below its bar.
    """
    passing, start = frame.passing, frame.start[0] + INEXACT
    for place in range(RANGES):
        bar = needed * lines[place] - start
        bar = bar if bar > 0 else 0.0
        passing[place] = np.uint16(np.int32(bar if bar < 65535 else 65535.0))
    passing[RANGES] = np.uint16(np.int32(slope))
