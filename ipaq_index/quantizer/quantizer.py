"""Vectors to codes and back."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.interruptible import mapped
from ipaq_index.quantizer import choice, codebook, narrow, patterns, sample, scale, search, unbiased
from ipaq_index.quantizer.allocation import MAX_BITS
from ipaq_index.quantizer.codebook import LevelSets
from ipaq_index.quantizer.product import product
from ipaq_index.quantizer.scale import (
    ScaleFormat,
    Side,
    best_format,
    checked_format,
    decode_scales,
    encode_scales,
    rounded_up,
    scale_range,
    typical_cosine,
)
from ipaq_index.quantizer.sharing import can_share, groups
from ipaq_index.quantizer.spec import QuantizerSpec
from ipaq_index.quantizer.transform import Transform
from ipaq_index.quantizer.trellis import trellis, walk

# Rows that level sets are fitted to. 8,000 instead of 17,000 of 384-d add 0.3 to 1 % to a trellis's error of inner
# products (Debian); scalar codes are for those in a hurry.
SET_ROWS = {"scalar": 10_000, "trellis": 20_000}
ERROR_ROWS = 4_096  # rows that scales and errors are measured on
START_ROWS = 1_024  # rows that the worth of a free first state is measured on
CHUNK_ROWS = 2_048  # rows a thread encodes at a time: twice as many of 384-d take 5 % longer
# Lengths of target tried for a vector. In few dimensions a try costs little and luck is worth more: five take 1.2 % off
# the error that three leave on GloVe (50-d). In many, and with many bits, a third takes 0.1 to 0.4 % off what two leave
# of clustered vectors, 1 to 2 % of sparse and heavy-tailed ones, and with a trellis is half of the time again.
MANY_DIMS, MANY_BITS = 128, 3
TRIES, FEWER, FEWEST = 5, 3, 2
PLAIN = (1.0, 1.0)  # length that scalar codes did not have
ANY_SCALE = (0.0, np.inf)  # while there is no format yet
LEVELS = {"scalar": 256, "trellis": 512}  # columns of the table of levels

Vectors = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Codes:
    """Codes of some vectors.

    Attributes
    ----------
    symbols : (m, d) uint8
        Code of each dimension.
    side : (m,) uint8 or uint16
        Scale and, in the low bits, first state; see `ScaleFormat`.
    """

    symbols: Symbols
    side: Side


class Quantizer:
    """Transform, bits and level sets, fitted to data; see `fit`. Never changes.

    Attributes
    ----------
    spec : QuantizerSpec
        What it was made for.
    bits : (d,) uint8
        Bits of each dimension.
    levels : (d, L) float32
        Level sets, the last level repeated to the end.
    shared : (d,) uint8 or None
        1 where a dimension has the bit of the one before it; see `ipaq_index.quantizer.sharing`.
    next_state : (states, 2) uint8
        With one state, the meaning of a symbol does not depend on those before it.
    scale_format : ScaleFormat
        Of the side codes.
    discrete : bool
        Whether most coordinates have no more values than levels; see `sample.discrete`.
    """

    def __init__(
        self,
        spec: QuantizerSpec,
        fitted: Transform,
        sets: LevelSets,
        length: tuple[float, float],
        scale_format: ScaleFormat,
        variances: Vectors | None = None,
        cosine: float | None = None,
        discrete: bool = False,
    ) -> None:
        self.spec, self.bits, self.levels, self.scale_format = spec, sets.bits, sets.levels, scale_format
        self.shared, self.discrete = sets.shared, discrete
        self._transform, self._length, self._cosine = fitted, length, cosine
        self.variances = np.zeros(spec.dim, dtype=np.float32) if variances is None else variances
        if spec.encoding == "trellis":
            chosen = trellis(spec.states)
            self.next_state = chosen.next_state
            self._tables = codebook.trellis_tables(sets, chosen, 1 << scale_format.state_bits)
        else:
            self.next_state = np.zeros((1, 2), dtype=np.uint8)
            self._tables = codebook.scalar_tables(sets)
        if spec.encoding == "scalar" and length == PLAIN:  # from a file of before scalar codes had lengths
            length = codebook.presumed_length(sets, self.variances)
        many = spec.encoding == "trellis" and spec.code_bits >= MANY_BITS * spec.dim
        tries = TRIES if spec.dim <= MANY_DIMS else FEWEST if many else FEWER
        told = scale_range(scale_format, spec.side_bytes) if scale_format.step and cosine else ANY_SCALE
        self._lengths = codebook.lengths(sets, *length, tries, told, cosine or 1.0)

    @property
    def side_bytes(self) -> int:
        """Bytes of a side code."""
        return self.spec.side_bytes

    @property
    def _level_counts(self) -> npt.NDArray[np.int64]:
        return 1 << self.bits.astype(np.int64) + (self.spec.encoding == "trellis")

    @property
    def rates(self) -> list[float]:
        """Bits of each dimension; a part of them where several share a symbol."""
        if self.shared is None:
            return self.bits.tolist()
        rates = self.bits.astype(np.float64)
        for first, size in groups(self.shared):
            rates[first : first + size] /= size
        return rates.tolist()

    @classmethod
    def fit(cls, x: Vectors, spec: QuantizerSpec, queries: Vectors | None = None, threads: int = 1) -> "Quantizer":
        """Fit to a sample.

        Parameters
        ----------
        x : (m, d) float32
            Sample of the vectors.
        spec : QuantizerSpec
            What is asked.
        queries : (nq, d) float32, optional
            Sample of the queries; without it ``x`` stands in.
        threads : int
            Threads to use; the result does not depend on it.

        Returns
        -------
        Quantizer
        """
        asked = x if queries is None else queries
        joint = spec.encoding == "trellis" and spec.states >= patterns.LEAST_STATES
        axes = choice.fit(x, asked, spec.r, spec.transform, spec.seed, spec.code_bits, threads, joint)
        if queries is None and x.shape[1] >= narrow.LEAST_DIMS:
            axes = axes._replace(transform=narrow.narrowed(axes.transform, x, spec.code_bits))
        fitted = axes.transform
        fit_rows, others = sample.apart(len(x), SET_ROWS[spec.encoding])
        y = choice.level_rows(axes, x, fit_rows, spec.seed)
        length = PLAIN
        if spec.rounding == "stochastic":
            sets, reference = unbiased.fit_stochastic(y, spec.code_bits, spec.objective, threads)
            length = (reference, 0.0)
        elif axes.together:
            sets, length = codebook.fit_joint(y, axes.together, trellis(spec.states), threads)
        elif spec.encoding == "trellis":
            sets, length = codebook.fit_trellis(y, spec.code_bits, trellis(spec.states), threads)
        else:
            sets, length = codebook.fit_scalar(y, spec.code_bits, threads)
        rest = x[others[:: -(-len(others) // ERROR_ROWS)]]
        y = product(np.concatenate([rest, sample.extremes(x, fitted.mean)]) - fitted.mean, fitted.forward)
        if spec.rounding == "stochastic":
            draft = cls(spec, fitted, sets, length, unbiased.FORMAT)
            y = y[: len(rest)]
            scales, decoded = draft._tried(y)
            return cls(spec, fitted, sets, length, unbiased.FORMAT, _variances(y, decoded, scales))
        most = _most_start_bits(spec)
        draft = cls(spec, fitted, sets, length, ScaleFormat(most, 0, 0), cosine=1.0)
        ratios, decoded = draft._tried(y)
        cosine = typical_cosine(y[: len(rest)], decoded[: len(rest)])
        all_scales = ratios / cosine
        y, scales, decoded = y[: len(rest)], all_scales[: len(rest)], decoded[: len(rest)]
        discrete = axes.origin == "own" and sample.discrete(y, draft._level_counts)
        error, share = _relative_error(y, decoded, scales), 2 ** (-2 / spec.dim)
        # Theory does not know zeros, which cost nothing or, from the wrong state, much.
        if most and axes.origin == "own":
            some = cls(spec, fitted, sets, length, ScaleFormat(0, 0, 0), cosine=cosine)._tried(y[:START_ROWS])
            fixed = max(_relative_error(y[:START_ROWS], some[1], some[0]), 1e-30)
            error, share = fixed, min(1.0, (error / fixed) ** (1 / most))
        scale_format = best_format(all_scales, error, share, spec.dim, 8 * spec.side_bytes, most)
        if scale_format.state_bits < most:
            # With fewer first states to choose from codes point a little further away: up to 8 % would be missing.
            fewer = cls(spec, fitted, sets, length, ScaleFormat(scale_format.state_bits, 0, 0), cosine=1.0)
            cosine = typical_cosine(y[:START_ROWS], fewer._tried(y[:START_ROWS])[1])
            scale_format = best_format(ratios / cosine, error, share, spec.dim, 8 * spec.side_bytes, most)
        return cls(spec, fitted, sets, draft._length, scale_format, _variances(y, decoded, scales), cosine, discrete)

    def encode(self, x: Vectors, first_row: int = 0, threads: int = 1) -> Codes:
        """Choose codes for vectors.

        Parameters
        ----------
        x : (m, d) float32
            The vectors.
        first_row : int
            Number of the first vector; what is random follows from seed and number, so that
            pieces give what the whole gives.
        threads : int
            Threads to use; the result does not depend on it.

        Returns
        -------
        Codes
        """
        starts = range(0, len(x), CHUNK_ROWS)
        encoded = mapped(lambda i: self._encode(x[i : i + CHUNK_ROWS], first_row + i), starts, threads)
        return Codes(np.concatenate([c.symbols for c in encoded]), np.concatenate([c.side for c in encoded]))

    def _encode(self, x: Vectors, first_row: int) -> Codes:
        y = product(x - self._transform.mean, self._transform.forward)
        symbols, starts, scales = self._chosen(y, first_row)
        side = encode_scales(scales, self.scale_format, np.dtype(f"u{self.side_bytes}"))
        return Codes(symbols, side | starts)

    def _chosen(self, y: Vectors, first_row: int) -> tuple[Symbols, Symbols, npt.NDArray[np.float64]]:
        """Return symbols, first states and scales."""
        if self.spec.rounding == "stochastic":
            sets, symbols = LevelSets(self.bits, self.levels), np.empty(y.shape, dtype=np.uint8)
            known = rounded_up(unbiased.scales(y, sets, self._length[0]), self.scale_format, self.side_bytes)
            counts = 1 << self.bits.astype(np.int64)
            unbiased.round_stochastic(y, known, self.levels, counts, self.spec.seed, first_row, symbols)
            return symbols, np.zeros(len(y), dtype=np.uint8), known.astype(np.float64)
        symbols, starts, sums = search.choose_codes(y, self._tables, self._lengths)
        return symbols, starts, scale.scale_factors(sums, self._cosine)

    def _tried(self, y: Vectors) -> tuple[npt.NDArray[np.float64], Vectors]:
        """Return the scales of a sample and what its codes stand for without them."""
        symbols, starts, scales = self._chosen(y, 0)
        return scales, self._decode_symbols(symbols, starts)

    def decode(self, codes: Codes) -> Vectors:
        """Return the vectors that codes stand for, (m, d) float32."""
        starts = (codes.side & ((1 << self.scale_format.state_bits) - 1)).astype(np.uint8)
        y = self._decode_symbols(codes.symbols, starts) * decode_scales(codes.side, self.scale_format)[:, None]
        return product(y, np.ascontiguousarray(self._transform.dual.T)) + self._transform.mean

    def _decode_symbols(self, symbols: Symbols, starts: Symbols) -> Vectors:
        decoded = np.empty(symbols.shape, dtype=np.float32)
        walk(symbols, starts, self.bits, self.levels, self.next_state, decoded)
        return decoded

    def project(self, q: Vectors) -> tuple[Vectors, npt.NDArray[np.float32]]:
        """Return queries as codes are scored with: ``<q, x> = offset + scale * sum_j p_j level_j``.

        Parameters
        ----------
        q : (nq, d) float32
            The queries.

        Returns
        -------
        p : (nq, d) float32
        offset : (nq,) float32
        """
        return product(q, self._transform.dual), product(q, np.ascontiguousarray(self._transform.mean[:, None]))[:, 0]

    @property
    def mean(self) -> Vectors:
        """Mean of the vectors, (d,) float32: a code tells how its vector differs from it."""
        return self._transform.mean

    @property
    def dual(self) -> Vectors:
        """What `project` multiplies queries by, (d, d) float32."""
        return self._transform.dual

    @cached_property
    def panels(self) -> narrow.Panels | None:
        """The same in 8 and 16 bits, if it is made of such."""
        return narrow.panels(self._transform.dual)

    def score_std(self, p: Vectors, side: Side) -> Vectors:
        """Return the standard deviation of scores.

        Parameters
        ----------
        p : (nq, d) float32
            Projected queries.
        side : (nq, k) uint8 or uint16
            Side codes of the rows that were scored.

        Returns
        -------
        (nq, k) float32
        """
        return (self.unit_std(p)[:, None] * decode_scales(side, self.scale_format)).astype(np.float32)

    def units(self, side: Side) -> Vectors:
        """Return by how much errors of rows differ, (m, 1) for side codes (m,): scales, and 1 where these are 0."""
        scales = decode_scales(side, self.scale_format)[:, None]
        return np.where(scales > 0, scales, np.float32(1)).astype(np.float32)

    def unit_std(self, p: Vectors) -> npt.NDArray[np.float64]:
        """Return the standard deviation of scores of rows whose scale is 1, (nq,) for projected queries (nq, d)."""
        return np.sqrt(np.einsum("ij,j->i", np.square(p, dtype=np.float64), self.variances))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all there is to know as JSON-able values and arrays; `from_arrays` reads them back."""
        arrays: dict[str, np.ndarray] = {
            "mean": self._transform.mean,
            "forward": self._transform.forward,
            "dual": self._transform.dual,
        }
        arrays |= {"bits": self.bits, "levels": self.levels, "variances": self.variances}
        if self.shared is not None:
            arrays["shared"] = self.shared
        meta = {"spec": self.spec.to_dict(), "scale_format": list(self.scale_format), "length": list(self._length)}
        told = ("cosine", self._cosine), ("discrete", self.discrete)
        return meta | {name: value for name, value in told if value}, arrays

    @classmethod
    def from_arrays(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Quantizer":
        """Make the quantizer that `to_arrays` described.

        Raises
        ------
        ValueError
            If an array is missing, of another shape or dtype than ``meta`` calls for, or holds what cannot be.
        """
        spec = QuantizerSpec(**meta["spec"])
        d = spec.dim
        shapes: dict[str, tuple[int, ...]] = {"bits": (d,), "mean": (d,), "forward": (d, d), "dual": (d, d)}
        shapes |= {"levels": (d, LEVELS[spec.encoding]), "variances": (d,)}
        shared = arrays.get("shared")
        if shared is not None:
            shapes["shared"] = (d,)
        for name, shape in shapes.items():
            dtype = np.dtype(np.uint8 if name in ("bits", "shared") else np.float32)
            found = arrays.get(name)
            if found is None or found.shape != shape or found.dtype != dtype or not np.isfinite(found).all():
                raise ValueError(f"section 'quantizer.{name}': expected finite {dtype} {shape}")
        if shared is not None and not (spec.encoding == "trellis" and can_share(arrays["bits"], shared)):
            raise ValueError("section 'quantizer.shared': expected 1 bit for two neighbours or 4 for some")
        own = arrays["bits"] if shared is None else arrays["bits"][shared == 0]
        if arrays["bits"].max() > MAX_BITS or int(own.sum()) != spec.code_bits:
            raise ValueError(
                f"section 'quantizer.bits': expected 0 to {MAX_BITS} bits a dimension, {spec.code_bits} in all"
            )
        if arrays["variances"].min() < 0:
            raise ValueError("section 'quantizer.variances': expected no negative values")
        return cls(
            spec,
            Transform(arrays["mean"], arrays["forward"], arrays["dual"]),
            LevelSets(arrays["bits"], arrays["levels"], shared),
            _pair(meta["length"]),
            checked_format(meta["scale_format"], 8 * spec.side_bytes, _most_start_bits(spec)),
            arrays["variances"],
            _cosine(meta.get("cosine")),
            meta.get("discrete") is True,
        )


def _most_start_bits(spec: QuantizerSpec) -> int:
    """Bits of the side that may hold the first state."""
    return spec.states.bit_length() - 1 if spec.encoding == "trellis" else 0


def _variances(y: Vectors, decoded: Vectors, scales: npt.NDArray[np.float64]) -> Vectors:
    """Return the mean squared error of each coordinate, for a scale of 1."""
    coded = scales > 0
    if not coded.any():
        return np.zeros(y.shape[1], dtype=np.float32)
    errors = decoded[coded] - y[coded] / scales[coded, None]
    return np.square(errors).mean(0).astype(np.float32)


def _relative_error(y: Vectors, decoded: Vectors, scales: npt.NDArray[np.float64]) -> float:
    """Return the squared error of all vectors over their squared length."""
    energy = float(np.square(y, dtype=np.float64).sum())
    return float(np.square(scales[:, None] * decoded - y).sum()) / energy if energy > 0 else 0.0


def _cosine(value: Any) -> float | None:
    """Return a typical cosine; None for quantizers of before there was one.

    Raises
    ------
    ValueError
        If ``value`` is something else.
    """
    if value is not None and not (isinstance(value, float | int) and 0 < value <= 1):
        raise ValueError(f"quantizer: cosine: expected a number above 0 and up to 1, got {value!r}")
    return value


def _pair(values: Any) -> tuple[float, float]:
    """Return two positive finite numbers.

    Raises
    ------
    ValueError
        If ``values`` are something else.
    """
    if not (isinstance(values, list) and len(values) == 2 and all(isinstance(v, int | float) for v in values)):
        raise ValueError(f"quantizer: length: expected two numbers, got {values!r}")
    first, second = (float(v) for v in values)
    if not (0 < first < np.inf and 0 <= second < np.inf):
        raise ValueError(f"quantizer: length: expected positive numbers, got {values!r}")
    return first, second
