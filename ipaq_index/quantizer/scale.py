"""Scales in one or two bytes."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Side = npt.NDArray[np.unsignedinteger]


class ScaleFormat(NamedTuple):
    """How a side code tells a scale: the float32 whose bits are ``base + step * (side >> state_bits)``; code 0 is 0.

    A float's bits grow with its logarithm, piece by piece, so one multiply-add covers a narrow range of scales finely
    and a wide one with an even relative precision.
    """

    state_bits: int
    base: int
    step: int


# 16 bits: scales from 2^-8 to 2^8, precise to 2^-13 (0.006 %) of their size.
TWO_BYTES = ScaleFormat(state_bits=0, base=(127 - 8) << 23, step=1 << 11)
LARGEST = 0x7F7FFFFF  # bits of the largest finite float32
MARGIN = 0.1  # of the logarithmic range of a sample's scales that is kept free at each end


def fitted_format(scales: npt.NDArray[np.float64], side_bits: int, state_bits: int) -> ScaleFormat:
    """Return the format whose codes cover the given scales, and some beyond, as finely as there are bits.

    Parameters
    ----------
    scales : (m,) float64
        Scales of a sample.
    side_bits, state_bits : int
        Bits of a side code, and those of them that the first state takes.
    """
    positive = scales[scales > 0]
    if side_bits - state_bits == 16 or not len(positive):
        return ScaleFormat(state_bits, TWO_BYTES.base, max(TWO_BYTES.step, (16 << 23) >> (side_bits - state_bits)))
    spread = positive.max() / positive.min()
    ends = np.array([positive.min() / spread**MARGIN, positive.max() * spread**MARGIN], dtype=np.float32)
    low, high = (int(end) for end in ends.view(np.int32))
    step = max(1, -(-(high - low) // ((1 << (side_bits - state_bits)) - 2)))
    return ScaleFormat(state_bits, low - step, step)


def checked_format(values: Any, side_bits: int, state_bits: int) -> ScaleFormat:
    """Return the format that a file tells of.

    Raises
    ------
    ValueError
        If it is not of three integers, is for another state, or has a code whose scale is no finite float32.
    """
    if not isinstance(values, list) or len(values) != 3 or not all(type(value) is int for value in values):
        raise ValueError(f"scale_format: expected three integers, got {values!r}")
    found = ScaleFormat(*values)
    top = found.base + found.step * ((1 << (side_bits - state_bits)) - 1)
    if found.state_bits != state_bits or found.step < 1 or found.base + found.step < 0 or top > LARGEST:
        raise ValueError(f"scale_format: expected state_bits={state_bits} and scales in float32, got {found}")
    return found


def encode_scales(scales: npt.NDArray[np.float64], scale_format: ScaleFormat, dtype: npt.DTypeLike) -> Side:
    """Return the nearest code of each scale; scales beyond the range get its end, 0 gets 0."""
    top = np.iinfo(dtype).max >> scale_format.state_bits
    bits = np.maximum(scales, 0).astype(np.float32).view(np.int32).astype(np.int64)
    codes = np.clip(np.rint((bits - scale_format.base) / scale_format.step), 1, top)
    return (np.where(scales > 0, codes, 0).astype(np.int64) << scale_format.state_bits).astype(dtype)


def decode_scales(side: Side, scale_format: ScaleFormat) -> npt.NDArray[np.float32]:
    """Return the scale of each side code."""
    codes = side.astype(np.int32) >> scale_format.state_bits
    scales = (scale_format.base + scale_format.step * codes).astype(np.int32).view(np.float32)
    return np.where(codes > 0, scales, np.float32(0))
