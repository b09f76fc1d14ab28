"""What is asked of a quantizer."""

from dataclasses import asdict, dataclass
from typing import Any

from ipaq_index.quantizer.trellis import trellis

ENCODINGS = ("trellis", "scalar")
STATES = 256  # default: half a point of recall above 8 states, at 40 million dimensions a second


@dataclass(frozen=True)
class QuantizerSpec:
    """Parameters of a quantizer.

    Attributes
    ----------
    dim : int
        Dimension of the vectors.
    code_bits : int
        Bits of codes a vector may take, a multiple of 8 and at most ``8 * dim``; the scale stands apart.
    encoding : {"trellis", "scalar"}
        Trellis-coded level sets, or one level set a dimension.
    states : int
        Of the trellis: 4, 8, 16, 32, 64, 128 or 256.
    r : float
        How far the transform leans to the queries: 0 is PCA, 1 weighs errors by the query second moment alone.
    side_bytes : int
        Bytes for the scale and, of a trellis, the first state: 1 or 2.
    seed : int
        Of everything random.
    """

    dim: int
    code_bits: int
    encoding: str = "trellis"
    states: int = STATES
    r: float = 0.5
    side_bytes: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.code_bits <= 8 * self.dim or self.code_bits % 8:
            raise ValueError(f"code_bits: expected a multiple of 8 up to {8 * self.dim}, got {self.code_bits}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.side_bytes not in (1, 2):
            raise ValueError(f"side_bytes: expected 1 or 2, got {self.side_bytes}")
        trellis(self.states)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-able values."""
        return asdict(self)
