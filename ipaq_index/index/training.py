"""Fitting the quantizers of an index to a sample."""

from typing import cast

import numpy as np
import numpy.typing as npt

from ipaq_index.index.config import IndexConfig, thread_count
from ipaq_index.index.content import Content, normalised
from ipaq_index.index.partition import Partition, auto_nlist, training_rows
from ipaq_index.index.refine import FineCodec
from ipaq_index.interruptible import apart
from ipaq_index.quantizer import Quantizer, QuantizerSpec
from ipaq_index.quantizer.spec import OBJECTIVES

TRAIN_ROWS = (
    65_536  # rows sampled for training: level sets and covariance of 100k and 400k rows differ by < 0.001 recall
)
FINE_ROWS = 4096  # of these, whose codes are looked at for what they leave

Vectors = npt.NDArray[np.float32]


def quantizer_spec(config: IndexConfig) -> QuantizerSpec:
    """Return what the index asks of its quantizer."""
    automatic = "scalar" if config.rounding == "stochastic" else "trellis"
    fitting = OBJECTIVES.get(config.rounding, ("",))[0]  # what else it is, the specification refuses
    return QuantizerSpec(
        dim=config.dim,
        code_bits=8 * config.code_bytes(),
        encoding=automatic if config.encoding == "auto" else config.encoding,
        states=config.states,
        # Errors move a squared distance by their product with q - x, of whose direction queries tell nothing: all count
        # alike. Error bars are then right, and recall is better on average (+7 points where norms differ much).
        r=0.0 if config.metric == "l2" else config.r,
        side_bytes=cast(int, config.scale_bytes),
        seed=config.seed,
        rounding=config.rounding,
        objective=fitting if config.objective is None else config.objective,
        transform=config.transform,
    )


def sample_rows(nlist: int | str | None) -> int:
    """Return how many vectors training looks at, at most; "auto" stands for lists not chosen yet."""
    return max(TRAIN_ROWS, training_rows(nlist) if isinstance(nlist, int) else 0)


def trained(
    config: IndexConfig, x: np.ndarray, queries: np.ndarray | None, centroids: np.ndarray | None = None
) -> Content:
    """Return an empty index's content, fitted to samples of vectors and queries.

    With lists, the shared quantizer is fitted to residuals, and the vectors stand in for queries that are not given.
    Centroids that are given, (nlist, dim), are taken as they are; k-means finds them otherwise.

    Raises
    ------
    ValueError
        If there are fewer vectors than lists.
    """
    rng = np.random.default_rng(config.seed)
    threads = thread_count(config.threads)
    nlist = auto_nlist(len(x)) if config.nlist == "auto" else config.nlist
    if nlist is not None and nlist > len(x) and centroids is None:
        raise ValueError(f"x: expected at least {nlist} vectors, one for each of nlist={nlist} lists, got {len(x)}")
    sample = normalised(_sample(x, sample_rows(nlist), rng), config.metric)
    asked = None if queries is None else normalised(_sample(queries, TRAIN_ROWS, rng), config.metric)
    partition = None
    whole = sample
    if nlist is not None:
        l2 = config.metric == "l2"
        if centroids is None:
            partition = apart(Partition.fit, sample, nlist, l2, config.seed, threads)
        else:
            given = np.ascontiguousarray(centroids, dtype=np.float32)
            partition = apart(Partition.of, given, sample, l2, threads)
        sample = _sample(sample, TRAIN_ROWS, rng)
        if asked is None:
            asked = sample
        sample = sample - partition.centroids[partition.assign(sample, threads)]
    if config.metric == "l2":
        asked = None
    quantizer = Quantizer.fit(sample, quantizer_spec(config), queries=asked, threads=threads)
    fine = None
    if config.refine is not None and config.metric == "l2":
        fine = FineCodec.fit(config.refine, whole, False)
    elif config.refine is not None:
        some = _sample(sample, FINE_ROWS, rng)
        codes = quantizer.encode(some, threads=threads)
        fine = FineCodec.fit(config.refine, (some - quantizer.decode(codes)) / quantizer.units(codes.side), True)
    return Content.empty(quantizer, partition, config.metric == "l2", fine)


def _sample(table: np.ndarray, most: int, rng: np.random.Generator) -> Vectors:
    """Return at most ``most`` rows as float32, in their order."""
    if len(table) > most:
        table = table[np.sort(rng.choice(len(table), most, replace=False))]
    return np.ascontiguousarray(table, dtype=np.float32)
