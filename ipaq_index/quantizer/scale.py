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
RANGE = (np.float32(1e-30), np.float32(1e30))  # of all scales
LEAST_SPREAD = 1.02  # scales of a sample that are all the same get so much room
INFINITY = 0x7F800000  # as the bits of a float32
# Of the logarithmic range of a sample's scales, kept free below and above: later vectors lie beyond. Heavy-tailed ones
# (64-d, 8 bits) have recalls of 0.981, 0.988 and 0.993 with 0.1, 0.25 and 0.4 above; three more kinds and GloVe do not
# care, and a wider range takes a bit from the first state. Below it matters less: a vector shorter than all of the
# sample has small scores whatever its scale.
BELOW, ABOVE = 0.05, 0.25
# Where long vectors are ever rarer by a power law, the longest of so many times the vectors of the sample are longer
# still, and the best answers to most queries: heavy tails of 384-d at 4 bits find 0.013 more of the ten best than with
# the quarter alone. A row that is coded with the largest scale there is, and should have a larger one, is clipped.
LATER, TAIL = 256, 16


def best_format(
    scales: npt.NDArray[np.float64], error: float, share: float, dim: int, side_bits: int, most_state_bits: int
) -> ScaleFormat:
    """Share the bits of a side code between the scale and the first state.

    In general a bit of choice for the first state is worth as much as a bit of codes: it takes the error to 2^(-2/d) of
    what it was. A scale that is wrong by the share e moves a score by e <p, y>, the codes' error by
    |p| |y| sqrt(error / d), so beside the latter e² counts d cos² times; neighbours have cosines of about 0.7.

    Parameters
    ----------
    scales : (m,) float64
        Scales of a sample.
    error : float
        Squared error of the codes over the squared length of the vectors.
    share : float
        What a bit of choice for the first state leaves of it.
    dim : int
    side_bits : int
        Bits of a side code.
    most_state_bits : int
        Bits of a state.
    """
    formats = [fitted_format(scales, side_bits, bits) for bits in range(min(most_state_bits, side_bits - 4) + 1)]
    ranges = [_precision(form) for form in formats]
    costs = [error * share**bits + 0.5 * dim * precision**2 / 12 for bits, precision in enumerate(ranges)]
    return formats[int(np.argmin(costs))]


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
    scale_bits = side_bits - state_bits
    if not len(positive):
        return ScaleFormat(state_bits, TWO_BYTES.base, TWO_BYTES.step << (16 - scale_bits))
    spread = max(positive.max() / positive.min(), LEAST_SPREAD)
    above = max(spread**ABOVE, LATER ** tail(positive))
    ends = np.array([positive.min() / spread**BELOW, positive.max() * above], dtype=np.float32)
    low, high = (int(end) for end in np.clip(ends, *RANGE).view(np.int32))
    step = max(1, -(-(high - low) // ((1 << scale_bits) - 2)))
    return ScaleFormat(state_bits, low - step, step)


def tail(values: npt.NDArray[np.float64]) -> float:
    """Return the power of their number by which the largest of some values grows, as the `TAIL` largest tell it.

    Hill, "A simple general approach to inference about the tail of a distribution", Annals of Statistics 3, 1975: the
    mean logarithm of these over the next.

    Parameters
    ----------
    values : (m,) float64
        Above 0; of fewer than four times `TAIL`, fewer tell it.
    """
    count = min(TAIL, len(values) // 4)
    if not count:
        return 0.0
    largest = np.log(np.sort(values)[-count - 1 :])
    return float((largest[1:] - largest[0]).mean())


def _precision(scale_format: ScaleFormat) -> float:
    """Return the step from one code to the next as a share of the scale: a float's last bit is 2^-23 of its size."""
    return scale_format.step / (1 << 23) / np.sqrt(2)


def checked_format(values: Any, side_bits: int, most_state_bits: int) -> ScaleFormat:
    """Return a format read from a file.

    Raises
    ------
    ValueError
        If a scale could be negative, infinite or not a number, or state bits do not fit the side code.
    """
    if not (isinstance(values, list) and len(values) == 3 and all(type(v) is int for v in values)):
        raise ValueError(f"scale_format: expected three integers, got {values!r}")
    form = ScaleFormat(*values)
    if not (0 <= form.state_bits <= most_state_bits and form.step > 0 and form.base + form.step >= 0):
        raise ValueError(f"scale_format: expected 0 to {most_state_bits} state bits and positive scales, got {values}")
    if form.base + form.step * ((1 << max(0, side_bits - form.state_bits)) - 1) >= INFINITY:
        raise ValueError(f"scale_format: expected finite scales, got {values}")
    return form


def encode_scales(scales: npt.NDArray[np.float64], scale_format: ScaleFormat, dtype: npt.DTypeLike) -> Side:
    """Return the nearest code of each scale; scales beyond the range get its end, 0 gets 0."""
    top = np.iinfo(dtype).max >> scale_format.state_bits
    bits = np.maximum(scales, 0).astype(np.float32).view(np.int32).astype(np.int64)
    codes = np.clip(np.rint((bits - scale_format.base) / scale_format.step), 1, top)
    return (np.where(scales > 0, codes, 0).astype(np.int64) << scale_format.state_bits).astype(dtype)


def scale_range(scale_format: ScaleFormat, side_bytes: int) -> tuple[float, float]:
    """Return the least and the largest scale that a code tells."""
    codes = np.array([1, (1 << (8 * side_bytes - scale_format.state_bits)) - 1]) << scale_format.state_bits
    least, most = decode_scales(codes.astype(np.uint16), scale_format)
    return float(least), float(most)


def rounded_up(scales: npt.NDArray[np.float64], scale_format: ScaleFormat, side_bytes: int) -> npt.NDArray[np.float32]:
    """Return the least scale that a code tells and that is not below each scale; the largest there is beyond them."""
    dtype = np.dtype(f"u{side_bytes}")
    codes = (encode_scales(scales, scale_format, dtype) >> scale_format.state_bits).astype(np.int64)
    top = np.iinfo(dtype).max >> scale_format.state_bits
    short = decode_scales((codes << scale_format.state_bits).astype(dtype), scale_format) < scales
    return decode_scales((np.minimum(codes + short, top) << scale_format.state_bits).astype(dtype), scale_format)


def decode_scales(side: Side, scale_format: ScaleFormat) -> npt.NDArray[np.float32]:
    """Return the scale of each side code."""
    codes = side.astype(np.int32) >> scale_format.state_bits
    scales = (scale_format.base + scale_format.step * codes).astype(np.int32).view(np.float32)
    return np.where(codes > 0, scales, np.float32(0))


def scale_factors(sums: npt.NDArray[np.float64], cosine: float | None = None) -> npt.NDArray[np.float64]:
    """Return t = |y| / (cosine |z|) for each row; without a cosine t = <y, y> / <y, z>, with its own.

    With its own no error is left along any y, but what is left across grows where the cosine is small: of vectors that
    are coded badly many would be among the best found. With the typical cosine there is about none along y on average.
    At 5 bytes for 50-d that is worth 0.04 to 0.15 of recall@10; from 1 bit a dimension on, nothing.
    Where the decoded z does not point along y at all (y is near zero, or coded by zeros), t is 1 or, for y = 0, 0.

    Parameters
    ----------
    sums : (m, 3) float64
        <y, y>, <y, z> and <z, z>.
    cosine : float, optional
        See `typical_cosine`.
    """
    energy, along, length = sums.T
    product = np.sqrt(energy * length)
    pointing = (along > 0.1 * product) & (along > 0)
    own = np.divide(along, product, out=np.ones_like(along), where=pointing)
    ratio = np.sqrt(np.divide(energy, length, out=np.ones_like(energy), where=pointing))
    return np.where(energy > 0, ratio / np.where(pointing, cosine or own, 1), 0.0)


def typical_cosine(y: npt.NDArray[np.float32], decoded: npt.NDArray[np.float32]) -> float:
    """Return the mean cosine between vectors and what their codes decode to, a vector as heavy as its squared length.

    Parameters
    ----------
    y, decoded : (m, d) float32
    """
    energy, along, length = (
        np.einsum("ij,ij->i", a, b, dtype=np.float64) for a, b in ((y, y), (y, decoded), (decoded, decoded))
    )
    cosine = np.divide(along, np.sqrt(energy * length), out=np.zeros(len(y)), where=(along > 0) & (length > 0))
    total = float(energy.sum())
    return max(float(energy @ cosine) / total, 0.1) if total > 0 else 1.0
