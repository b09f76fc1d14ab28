"""The growing arrays of packed codes: the place where encoded vectors become rows that a scan can read."""

import numpy as np
import numpy.typing as npt

from ipaq_index.quantizer import Codes
from ipaq_index.scan import BLOCK, CodeBook, PackedCodes


class CodeRows:
    """Packed codes with room to grow.

    Rows at and beyond ``count`` are spare room. Appending writes only there, or into new arrays, and then publishes a
    new `PackedCodes`; a search that holds the old one goes on undisturbed, so readers need no lock.

    Parameters
    ----------
    codebook : CodeBook
        Level sets, as the scan wants them.
    side_dtype : dtype
        uint8 or uint16: the scale and start state of one row.
    with_bias : bool
        Whether a float32 is kept and added to each row's score.
    """

    def __init__(self, codebook: CodeBook, side_dtype: npt.DTypeLike, with_bias: bool) -> None:
        self._codebook, self._layout = codebook, codebook.layout
        self._blocks = np.zeros((0, codebook.layout.pairs, BLOCK), dtype=np.uint8)
        self._side = np.zeros(0, dtype=side_dtype)
        self._bias = np.zeros(0, dtype=np.float32) if with_bias else None
        self._pending = 0
        self._publish(0)

    def _publish(self, count: int) -> None:
        self.packed = PackedCodes(self._codebook, self._blocks, self._side, self._bias, count)

    def __len__(self) -> int:
        return self.packed.count

    def write(self, codes: Codes, bias: npt.NDArray[np.float32] | None) -> None:
        """Put rows behind the published and the pending ones; `commit` makes them visible, `rollback` forgets them."""
        first = len(self) + self._pending
        last = first + len(codes.side)
        self._reserve(last)
        self._layout.pack(codes.symbols, self._blocks, first)
        self._side[first:last] = codes.side
        if self._bias is not None:
            self._bias[first:last] = bias
        self._pending += len(codes.side)

    def commit(self) -> None:
        """Make all pending rows visible at once."""
        self._publish(len(self) + self._pending)
        self._pending = 0

    def rollback(self) -> None:
        """Forget the pending rows; the room they took is used again."""
        self._pending = 0

    def reserve(self, extra: int) -> None:
        """Make room for ``extra`` rows behind the published ones, so that the arrays grow once for many writes."""
        self._reserve(len(self) + extra)

    def _reserve(self, rows: int) -> None:
        have = len(self._blocks) * BLOCK
        if rows <= have and self._blocks.flags.writeable:  # arrays mapped from a file are read-only
            return
        # 1.25x: appends one at a time cost O(1) each on average, and spare room stays below a quarter of the codes.
        blocks = -(-max(rows, have + have // 4) // BLOCK)
        self._blocks = _grown(self._blocks, blocks)
        self._side = _grown(self._side, blocks * BLOCK)
        if self._bias is not None:
            self._bias = _grown(self._bias, blocks * BLOCK)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the published rows without the spare room, by section name."""
        count = len(self)
        sections = {"blocks": self._blocks[: -(-count // BLOCK)], "side": self._side[:count]}
        return sections if self._bias is None else sections | {"bias": self._bias[:count]}

    def restore(self, sections: dict[str, np.ndarray], count: int) -> None:
        """Take over what `arrays` gave.

        Raises
        ------
        ValueError
            If a section's shape or dtype does not fit ``count`` rows of this layout.
        """
        blocks = -(-count // BLOCK)
        expected = {
            "blocks": ((blocks, self._layout.pairs, BLOCK), np.dtype(np.uint8)),
            "side": ((count,), self._side.dtype),
        }
        if self._bias is not None:
            expected["bias"] = ((count,), np.dtype(np.float32))
        for name, (shape, dtype) in expected.items():
            found = sections.get(name)
            if found is None or found.shape != shape or found.dtype != dtype:
                came = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise ValueError(f"section {name!r}: expected {dtype} {shape}, got {came}")
        self._blocks = sections["blocks"]
        self._side = _grown(sections["side"], blocks * BLOCK)
        if self._bias is not None:
            self._bias = _grown(sections["bias"], blocks * BLOCK)
        self._publish(count)


def _grown(array: np.ndarray, length: int) -> np.ndarray:
    grown = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
