"""What is asked of a quantizer."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class QuantizerSpec:
    """Parameters of a quantizer.

    Attributes
    ----------
    dim : int
        Dimension of the vectors.
    code_bits : int
        Bits of codes a vector may take, a multiple of 8 and at most ``8 * dim``; the scale stands apart.
    r : float
        How far the transform leans to the queries: 0 is PCA, 1 weighs errors by the query second moment alone.
    seed : int
        Of everything random.
    """

    dim: int
    code_bits: int
    r: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.code_bits <= 8 * self.dim or self.code_bits % 8:
            raise ValueError(f"code_bits: expected a multiple of 8 up to {8 * self.dim}, got {self.code_bits}")

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-able values."""
        return asdict(self)
