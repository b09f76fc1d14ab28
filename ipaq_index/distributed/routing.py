"""Which shard a vector lives on: a function of its id alone, so that nobody has to keep a table."""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def mixed(numbers: Ids | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatter numbers over all 64-bit numbers, one to one (the output step of SplitMix64; Steele, Lea, Flood, 2014)."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def shard_of(ids: Ids, shards: int) -> Ids:
    """Return the shard of each id, 0 to ``shards`` - 1.

    Part of the format of a directory: it must never change.
    """
    return (mixed(ids) % np.uint64(shards)).astype(np.int64)


def sampled(ids: Ids, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which ids belong to a sample of about ``fraction`` of all, whatever the order they are met in."""
    if fraction >= 1:
        return np.ones(len(ids), dtype=bool)
    salt = mixed(np.array([~seed], dtype=np.int64))  # another permutation than that of `shard_of`
    return mixed(mixed(ids) ^ salt) < np.uint64(fraction * 2**64)
