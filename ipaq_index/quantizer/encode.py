"""Choosing each vector's codes."""

import numpy as np
import numpy.typing as npt
from numba import njit

SWEEPS = 4  # of coordinate descent; the fifth changes fewer than one code in a thousand on GloVe

Vectors = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]


@njit(nogil=True, cache=True)
def nearest(y: Vectors, boundaries: Vectors, counts: npt.NDArray[np.int64], symbols: Symbols) -> None:
    """Set ``symbols[i, j]`` to the nearest level of dimension j by bisection of its boundaries, without a branch.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates.
    boundaries : (d, 255) float32
        Midpoints between neighbouring levels, ``counts[j] - 1`` of them valid.
    counts : (d,) int64
        Levels of each dimension, a power of two.
    symbols : (m, d) uint8
        Result.
    """
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            low, step = 0, counts[j] >> 1
            while step:
                low += step * (y[i, j] > boundaries[j, low + step - 1])
                step >>= 1
            symbols[i, j] = low


@njit(nogil=True, cache=True)
def descend(y: Vectors, levels: Vectors, counts: npt.NDArray[np.int64], symbols: Symbols, sweeps: int) -> None:
    """Move codes by one level up or down as long as that turns the decoded vector towards ``y``.

    Coordinate descent on the cosine between y and its decoding: with the scale of `scale_factors`, what remains of the
    error lies across y, and its energy is |y|² (1/cos² - 1), so the largest cosine has the least error.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates.
    levels : (d, 256) float32
        Level sets, ``counts[j]`` levels valid.
    counts : (d,) int64
        Levels of each dimension.
    symbols : (m, d) uint8
        Codes to start from; changed in place.
    sweeps : int
        Passes over the dimensions at most.
    """
    for i in range(y.shape[0]):
        along, energy = 0.0, 0.0  # <y, z> and <z, z>, z the decoded vector
        for j in range(y.shape[1]):
            z = np.float64(levels[j, symbols[i, j]])
            along += y[i, j] * z
            energy += z * z
        for _ in range(sweeps):
            moved = False
            for j in range(y.shape[1]):
                here = np.int64(symbols[i, j])
                z = np.float64(levels[j, here])
                best, best_along, best_energy = here, along, energy
                for there in (here - 1, here + 1):
                    if 0 <= there < counts[j]:
                        other = np.float64(levels[j, there])
                        a, e = along + y[i, j] * (other - z), energy + other * other - z * z
                        # a / sqrt(e) > best_along / sqrt(best_energy), without roots
                        if a * abs(a) * best_energy > best_along * abs(best_along) * e:
                            best, best_along, best_energy = there, a, e
                if best != here:
                    symbols[i, j], along, energy, moved = best, best_along, best_energy, True
            if not moved:
                break


def scale_factors(y: Vectors, decoded: Vectors) -> npt.NDArray[np.float64]:
    """Return t = <y, y> / <y, z> for each row: then <y, t z> = <y, y>, no error is left along y.

    Where the decoded z does not point along y at all (y is near zero, or coded by zeros), t is 1 or, for y = 0, 0.
    """
    energy = np.einsum("ij,ij->i", y, y, dtype=np.float64)
    along = np.einsum("ij,ij->i", y, decoded, dtype=np.float64)
    length = np.einsum("ij,ij->i", decoded, decoded, dtype=np.float64)
    aligned = along > 0.1 * np.sqrt(energy * length)
    t = np.divide(energy, along, out=np.ones_like(energy), where=aligned & (along > 0))
    return np.where(energy > 0, t, 0.0)
