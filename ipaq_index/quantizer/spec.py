"""What is asked of a quantizer."""

from dataclasses import asdict, dataclass
from typing import Any

from ipaq_index.quantizer.trellis import trellis

ENCODINGS = ("trellis", "scalar")
TRANSFORMS = ("auto", "pca", "random", "none")
# What level sets are made for, by how coordinates are rounded; the first is the default.
OBJECTIVES = {"nearest": ("mse",), "stochastic": ("adv", "mdv")}
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
    rounding : {"nearest", "stochastic"}
        "stochastic", with scalar encoding alone, is right on average for every query.
    objective : {"mse", "adv", "mdv"}
        What level sets are made for: "mse" for rounding to nearest; the mean ("adv") or the largest ("mdv") variance
        of stochastic rounding.
    transform : {"auto", "pca", "random", "none"}
        "auto" leans to the queries by ``r``; see `ipaq_index.quantizer.transform`.
    """

    dim: int
    code_bits: int
    encoding: str = "trellis"
    states: int = STATES
    r: float = 0.5
    side_bytes: int = 2
    seed: int = 0
    rounding: str = "nearest"
    objective: str = "mse"
    transform: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.code_bits <= 8 * self.dim or self.code_bits % 8:
            raise ValueError(f"code_bits: expected a multiple of 8 up to {8 * self.dim}, got {self.code_bits}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.side_bytes not in (1, 2):
            raise ValueError(f"side_bytes: expected 1 or 2, got {self.side_bytes}")
        trellis(self.states)
        if self.transform not in TRANSFORMS:
            raise ValueError(f"transform: expected one of {', '.join(TRANSFORMS)}, got {self.transform!r}")
        if self.rounding not in OBJECTIVES:
            raise ValueError(f"rounding: expected one of {', '.join(OBJECTIVES)}, got {self.rounding!r}")
        if self.objective not in OBJECTIVES[self.rounding]:
            possible = " or ".join(repr(name) for name in OBJECTIVES[self.rounding])
            raise ValueError(f"objective: expected {possible} with rounding={self.rounding!r}, got {self.objective!r}")
        if self.rounding == "stochastic" and self.encoding != "scalar":
            raise ValueError(f"encoding: expected 'scalar' with rounding='stochastic', got {self.encoding!r}")
        if self.rounding == "stochastic" and self.code_bits < self.dim:
            raise ValueError(
                f"code_bits: expected at least one bit a dimension ({self.dim}) with rounding='stochastic', "
                f"got {self.code_bits}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-able values."""
        return asdict(self)
