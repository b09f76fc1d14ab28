"""The growing arrays of packed codes: the place where encoded vectors become rows that a scan can read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import lines, read_only
from ipaq_index.index.fine_scores import Fine
from ipaq_index.index.refine import FineCodec
from ipaq_index.index.runs import Ids
from ipaq_index.interruptible import slices
from ipaq_index.quantizer import Codes
from ipaq_index.scan import BLOCK, CodeBook, Layout, PackedCodes

MOVE_ROWS = 65_536  # rows moved at a time
CODES = ("blocks", "rest")


@dataclass(frozen=True)
class CodeRows:
    """All there is of each row but its id. Rows that are not in use may be written; others stay as they are.

    Attributes
    ----------
    codebook : CodeBook
        Level sets, as the scan wants them.
    codec : FineCodec or None
        How finer vectors are kept for rescoring.
    blocks, rest : (nb, first_pairs, 32), (nb, pairs - first_pairs, 32) uint8
        Packed codes, in two parts; see `ipaq_index.scan.Layout`.
    side : (32 nb,) uint8 or uint16
        Scale and start state.
    bias : (32 nb,) float32 or None
        Added to each row's score.
    fine : (32 nb, dim) or None
        Finer vectors.
    """

    codebook: CodeBook
    codec: FineCodec | None
    blocks: npt.NDArray[np.uint8]
    rest: npt.NDArray[np.uint8]
    side: np.ndarray
    bias: npt.NDArray[np.float32] | None
    fine: np.ndarray | None

    @classmethod
    def empty(cls, codebook: CodeBook, codec: FineCodec | None, side: npt.DTypeLike, biased: bool) -> "CodeRows":
        """Return arrays without rows."""
        return cls(
            codebook,
            codec,
            *codebook.layout.empty(0),
            np.zeros(0, dtype=side),
            np.zeros(0, dtype=np.float32) if biased else None,
            None if codec is None else np.zeros((0, codec.dim), dtype=codec.dtype),
        )

    def packed(self, count: int) -> PackedCodes:
        """Return the first ``count`` rows for a scan."""
        return PackedCodes(self.codebook, *self._read_only, count)

    @cached_property
    def finer(self) -> Fine | None:
        """Finer vectors, as kernels take them."""
        return None if self.codec is None or self.fine is None else self.codec.fine(self.fine)

    @cached_property
    def _read_only(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        bias = None if self.bias is None else read_only(self.bias)
        return read_only(self.blocks), read_only(self.rest), read_only(self.side), bias

    def grown(self, blocks: int) -> "CodeRows":
        """Return arrays ``blocks`` long, in memory that can be written (what is mapped from a file cannot)."""
        if blocks == len(self.blocks) and all(array.flags.writeable for array in self.arrays().values()):
            return self
        return self._with({name: _grown(a, blocks * rows_a_place(name)) for name, a in self.arrays().items()})

    def copied(self) -> "CodeRows":
        """Return copies of the arrays."""
        return self._with({name: _grown(array, len(array)) for name, array in self.arrays().items()})

    def write(self, rows: Ids, codes: Codes, bias: npt.NDArray[np.float32] | None, fine: np.ndarray | None) -> None:
        """Fill rows that are not in use, in any order."""
        packed = self.codebook.layout.empty(-(-len(rows) // BLOCK))
        self.codebook.layout.pack(codes.symbols, *packed, 0)
        here = np.arange(len(rows))
        for target, part in zip((self.blocks, self.rest), packed, strict=True):
            target[rows // BLOCK, :, rows % BLOCK] = part[here // BLOCK, :, here % BLOCK]
        self.side[rows] = codes.side
        if self.bias is not None:
            self.bias[rows] = bias
        if self.fine is not None:
            self.fine[rows] = fine

    def copy_to(self, other: "CodeRows", old: Ids, new: Ids) -> None:
        """Copy rows ``old`` to rows ``new`` of other arrays, or of these."""
        for first in range(0, len(old), MOVE_ROWS):
            a, b = old[first : first + MOVE_ROWS], new[first : first + MOVE_ROWS]
            theirs = other.arrays()
            for name, array in self.arrays().items():
                if name in CODES:
                    theirs[name][b // BLOCK, :, b % BLOCK] = array[a // BLOCK, :, a % BLOCK]
                else:
                    theirs[name][b] = array[a]

    def codes(self, rows: Ids) -> Codes:
        """Return the unpacked codes of rows."""
        return Codes(self.codebook.layout.unpack(self.blocks, self.rest, rows), self.side[rows])

    def _with(self, arrays: dict[str, np.ndarray]) -> "CodeRows":
        return CodeRows(
            self.codebook,
            self.codec,
            arrays["blocks"],
            arrays["rest"],
            arrays["side"],
            arrays.get("bias"),
            arrays.get("fine"),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        found = {"blocks": self.blocks, "rest": self.rest, "side": self.side, "bias": self.bias, "fine": self.fine}
        return {name: array for name, array in found.items() if array is not None}

    def from_version_1(self, sections: dict[str, np.ndarray], blocks: int) -> dict[str, np.ndarray]:
        """Return sections with codes in the place that the layout of today gives them.

        Raises
        ------
        ValueError
            If the codes' shape or dtype does not fit.
        """
        layout, before = self.codebook.layout, Layout(self.codebook.layout.bits, 1)
        found, shape = sections["blocks"], (blocks, before.pairs, BLOCK)
        if found.shape != shape or found.dtype != np.uint8:
            raise ValueError(f"section 'blocks': expected uint8 {shape}, got {found.dtype} {found.shape}")
        if np.array_equal(layout.pieces, before.pieces):
            cut = layout.first_pairs
            parts = np.ascontiguousarray(found[:, :cut]), np.ascontiguousarray(found[:, cut:])
        else:
            parts, nothing = layout.empty(blocks), np.zeros((blocks, 0, BLOCK), dtype=np.uint8)
            for first in range(0, BLOCK * blocks, MOVE_ROWS):
                rows = np.arange(first, min(first + MOVE_ROWS, BLOCK * blocks))
                layout.pack(before.unpack(found, nothing, rows), *parts, first)
        return sections | dict(zip(CODES, parts, strict=True))

    def restored(self, sections: dict[str, np.ndarray], blocks: int) -> "CodeRows":
        """Return these, empty, rows with other arrays in their place.

        Raises
        ------
        ValueError
            If a section's shape or dtype does not fit.
        """
        own = self.arrays()
        if not self.rest.shape[1]:
            sections = sections | {"rest": self.codebook.layout.empty(blocks)[1]}
        for name, array in own.items():
            shape = (blocks * rows_a_place(name), *array.shape[1:])
            found = sections.get(name)
            if found is None or found.shape != shape or found.dtype != array.dtype:
                came = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise ValueError(f"section {name!r}: expected {array.dtype} {shape}, got {came}")
        return self._with({name: sections[name] for name in own})


def rows_a_place(name: str) -> int:
    """Return the length of an array for each block: codes have blocks, all else rows."""
    return 1 if name in CODES else BLOCK


def _grown(array: np.ndarray, length: int) -> np.ndarray:
    grown = lines((length, *array.shape[1:]), array.dtype)
    for first, last in slices(len(array), array[:1].nbytes):
        grown[first:last] = array[first:last]
    return grown
