"""Vectors to codes and back."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index import levels as level_sets
from ipaq_index.quantizer import encode, transform
from ipaq_index.quantizer.allocation import MAX_BITS, allocate
from ipaq_index.quantizer.product import product
from ipaq_index.quantizer.scale import TWO_BYTES, ScaleFormat, Side, decode_scales, encode_scales
from ipaq_index.quantizer.spec import QuantizerSpec
from ipaq_index.quantizer.transform import Transform

SET_ROWS = 20_000  # rows that level sets are fitted to: the error at 256 levels is then within 1 % of that of all rows
CHUNK_ROWS = 4_096  # rows a thread encodes at a time

Vectors = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Codes:
    """Codes of some vectors.

    Attributes
    ----------
    symbols : (m, d) uint8
        Level of each dimension.
    side : (m,) uint16
        Scale; see `ScaleFormat`.
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
    levels : (d, 256) float32
        Level sets, the last level repeated to the end.
    symbol_levels : (d, 256) float32
        What a symbol stands for in a scan that does not decode it fully: here its level.
    next_state : (1, 2) uint8
        One state: the meaning of a symbol does not depend on those before it.
    scale_format : ScaleFormat
        Of the side codes.
    """

    scale_format: ScaleFormat = TWO_BYTES
    side_bytes: int = 2

    def __init__(self, spec: QuantizerSpec, fitted: Transform, bits: npt.NDArray[np.uint8], levels: Vectors) -> None:
        self.spec, self.bits, self.levels = spec, bits, levels
        self.symbol_levels = levels
        self.next_state = np.zeros((1, 2), dtype=np.uint8)
        self._transform = fitted
        self._counts = 1 << bits.astype(np.int64)
        self._boundaries = np.float32(0.5) * (levels[:, 1:] + levels[:, :-1])

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
        fitted = transform.fit(x, x if queries is None else queries, spec.r)
        stride = -(-len(x) // SET_ROWS)
        y = product(x[::stride] - fitted.mean, fitted.forward)
        with ThreadPoolExecutor(threads) as pool:
            columns = list(pool.map(level_sets.kmeans_sets, y.T))
        # The dual coordinates of a query have, by the choice of F, the same mean square in every dimension that errors
        # are weighed with already: F carries the weights, so plain errors add up.
        bits = allocate(np.array([errors for _, errors in columns]), spec.code_bits)
        levels = np.empty((spec.dim, 1 << MAX_BITS), dtype=np.float32)
        for j, (sets, _) in enumerate(columns):
            chosen = sets[bits[j]]
            levels[j, : len(chosen)], levels[j, len(chosen) :] = chosen, chosen[-1]
        return cls(spec, fitted, bits, levels)

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
        parts = [x[i : i + CHUNK_ROWS] for i in range(0, len(x), CHUNK_ROWS)]
        with ThreadPoolExecutor(threads) as pool:
            encoded = list(pool.map(self._encode, parts))
        return Codes(np.concatenate([c.symbols for c in encoded]), np.concatenate([c.side for c in encoded]))

    def _encode(self, x: Vectors) -> Codes:
        y = product(x - self._transform.mean, self._transform.forward)
        symbols = np.empty(y.shape, dtype=np.uint8)
        encode.nearest(y, self._boundaries, self._counts, symbols)
        encode.descend(y, self.levels, self._counts, symbols, encode.SWEEPS)
        scales = encode.scale_factors(y, self._decode_symbols(symbols))
        return Codes(symbols, encode_scales(scales, self.scale_format, np.dtype(f"u{self.side_bytes}")))

    def decode(self, codes: Codes) -> Vectors:
        """Return the vectors that codes stand for, (m, d) float32."""
        y = self._decode_symbols(codes.symbols) * decode_scales(codes.side, self.scale_format)[:, None]
        return product(y, np.ascontiguousarray(self._transform.dual.T)) + self._transform.mean

    def _decode_symbols(self, symbols: Symbols) -> Vectors:
        return self.levels[np.arange(self.spec.dim), symbols]

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

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all there is to know as JSON-able values and arrays; `from_arrays` reads them back."""
        arrays = {"mean": self._transform.mean, "forward": self._transform.forward, "dual": self._transform.dual}
        return {"spec": self.spec.to_dict()}, arrays | {"bits": self.bits, "levels": self.levels}

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
        f4 = np.dtype(np.float32)
        shapes = {"mean": (d,), "forward": (d, d), "dual": (d, d), "levels": (d, 1 << MAX_BITS), "bits": (d,)}
        for name, shape in shapes.items():
            dtype = np.dtype(np.uint8) if name == "bits" else f4
            found = arrays.get(name)
            if found is None or found.shape != shape or found.dtype != dtype or not np.isfinite(found).all():
                raise ValueError(f"section 'quantizer.{name}': expected finite {dtype} {shape}")
        if arrays["bits"].max() > MAX_BITS or int(arrays["bits"].sum()) != spec.code_bits:
            raise ValueError(
                f"section 'quantizer.bits': expected 0 to {MAX_BITS} bits a dimension, {spec.code_bits} in all"
            )
        return cls(spec, Transform(arrays["mean"], arrays["forward"], arrays["dual"]), arrays["bits"], arrays["levels"])
