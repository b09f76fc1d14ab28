"""Files of every format version so far, byte for byte as that version wrote them. They must be readable for ever.

``format1.ipaq`` was written by the first version of the format, ``format2.ipaq`` by the second, and
``format2-commits.ipaq`` by the second in two syncs; `held` and `grown` tell what they hold. Never write these anew:
add files for a new version. ``python -m tests.storage.golden`` writes those that are missing.
"""

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def held() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return state and arrays of the files written whole."""
    state = {"config": {"dim": 3, "metric": "ip", "bits": 2.5, "none": None}, "count": 7, "text": "é"}
    arrays = {
        "bytes": np.arange(70, dtype=np.uint8),
        "codes": np.arange(4 * 3 * 5, dtype=np.uint16).reshape(4, 3, 5),
        "empty": np.zeros((0, 3), dtype=np.int32),
        "floats": np.array([0.1, -np.inf, 1e-40, 3e38], dtype=np.float32),
        "doubles": np.linspace(0, 1, 9),
        "ids": np.array([-1, 0, 1 << 62]),
    }
    return state, arrays


def grown() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return state and arrays of the file of two commits."""
    state, arrays = held()
    arrays["ids"] = np.append(arrays["ids"], 5)
    arrays["codes"] = arrays["codes"][:2]
    return {**state, "count": 8}, arrays
