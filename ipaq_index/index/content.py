"""What a trained index holds, and how rows come and go. No checks of arguments and no locks: see `Index`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index import scan
from ipaq_index.index.alone import REACH, Alone, Finer
from ipaq_index.index.ids import IdMap, Ids
from ipaq_index.index.partition import Partition
from ipaq_index.index.refine import FineCodec
from ipaq_index.index.rows import CodeRows
from ipaq_index.index.runs import Runs
from ipaq_index.index.versions import Versions
from ipaq_index.quantizer import Quantizer

COMPACT_SLACK = 1.125  # room that compaction leaves in each list
COMPACT_LEAST = 64  # blocks below which waste is not worth a thought
FAR = 3.5  # standard deviations that the best scores are above the mean

Vectors = npt.NDArray[np.float32]
Chunks = Iterator[tuple[int, Vectors]]


class View(NamedTuple):
    """What a scan reads: the codes, and which rows count where not all do."""

    packed: scan.PackedCodes
    words: npt.NDArray[np.uint32] | None


@dataclass(frozen=True, eq=False)
class Content:
    """What an index holds at one moment. Readers take it whole, once; writers put another in its place.

    Attributes
    ----------
    quantizer : Quantizer
        Of the vectors, or with ``partition`` of their residuals.
    partition : Partition or None
        None for a flat index.
    l2 : bool
        Whether rows have a bias, so that larger scores are smaller distances.
    rows, runs, ids : CodeRows, Runs, IdMap
        The vectors' codes, places and names.
    encoded : int
        Vectors ever encoded: what is random in a code follows from its number.
    """

    quantizer: Quantizer
    partition: Partition | None
    l2: bool
    rows: CodeRows
    runs: Runs
    ids: IdMap
    encoded: int = 0

    @classmethod
    def empty(cls, quantizer: Quantizer, partition: Partition | None, l2: bool, codec: FineCodec | None) -> "Content":
        """Return a content without vectors; ``codec`` says how finer vectors are kept, if they are."""
        q = quantizer
        layout = scan.Layout(q.bits, shared=q.shared)
        codebook = scan.CodeBook(layout, q.levels, q.next_state, q.scale_format, q.discrete)
        rows = CodeRows.empty(codebook, codec, np.dtype(f"u{q.side_bytes}"), l2)
        runs = Runs.filled(np.zeros(1 if partition is None else partition.nlist, dtype=np.int64))
        return cls(quantizer, partition, l2, rows, runs, IdMap(runs))

    @property
    def nlist(self) -> int:
        """Number of inverted lists; 1 if flat."""
        return len(self.runs.count)

    @cached_property
    def total(self) -> int:
        """Number of vectors."""
        return self.runs.total

    @cached_property
    def view(self) -> View:
        """What a scan reads."""
        if self.partition is None and not self.runs.holes:
            return View(self.rows.packed(int(self.runs.used[0])), None)
        return View(self.rows.packed(self.runs.blocks * scan.BLOCK), self.runs.words)

    @cached_property
    def alone(self) -> Alone | None:
        """What one query needs, where no graph of centroids has a say."""
        if self.partition is not None and self.partition.has_graph:
            return None
        variances = np.empty(0, dtype=np.float32) if self.l2 else self.quantizer.variances
        finer = None if self.rows.finer is None else Finer(self.rows.finer, variances)
        return Alone.of(self.quantizer, self.partition, self.spans, *self.view, finer)

    def candidates(self, k: int, k_factor: int) -> int:
        """Return among how many rows finer vectors choose the best ``k``."""
        return min(k * k_factor, max(k, self.total))

    def heights(self, p: Vectors) -> Vectors:
        """Return what finer vectors may add to the scores of rows of scale 1: (nq,), or none where nothing is known.

        A distance's error depends on the distance: see `Search.std`.
        """
        return np.empty(0, dtype=np.float32) if self.l2 else (REACH * self.quantizer.unit_std(p)).astype(np.float32)

    def lifted(self, k: int, candidates: int) -> bool:
        """Return whether less than so many candidates may be worth the best ``k`` scores, as a rule.

        Then a scan that knows it is faster. Of rows whose scores are normal with standard deviation 1, a share of
        ``exp(height * far)`` times as many as are above ``far``, about, are above ``far - height``.
        """
        share = candidates / max(1, k)
        return not self.l2 and k <= scan.MANY and REACH * self._noise * FAR <= math.log(share)

    @cached_property
    def _noise(self) -> float:
        """Standard deviation of the error of scores, in those of scores, for vectors in any direction."""
        told = float(self.rows.codebook.meaning.variances[0].sum())
        return math.sqrt(float(self.quantizer.variances.sum()) / told) if told > 0 else math.inf

    @cached_property
    def spans(self) -> Ids:
        """(nlist, 2) first block of each list, and the one after its last with a row in use."""
        return np.stack([self.runs.start, self.runs.start - (-self.runs.used // scan.BLOCK)], axis=1)

    def staged(self, chunks: Chunks, labels: Ids, threads: int, versions: Versions) -> tuple["Content", Ids]:
        """Encode vectors of lists ``labels`` into rows not in use; return a content that has them, and the rows.

        Nothing that this content has in use changes.
        """
        plan = self.runs.place(labels)
        ids = self.ids.on(plan.runs).moved(plan.runs, *plan.moved)
        rows = self.rows.grown(plan.runs.blocks)
        if rows.blocks is self.rows.blocks and versions.in_sight():
            rows, ids = rows.copied(), ids.copied()
        rows.copy_to(rows, *plan.moved)
        for first, x in chunks:
            part = slice(first, first + len(x))
            target = x if self.partition is None else x - self.partition.centroids[labels[part]]
            codes, codec = self.quantizer.encode(target, first_row=self.encoded + first, threads=threads), rows.codec
            residual = codec is not None and codec.residual
            error = target - self.quantizer.decode(codes) if self.l2 or residual else None
            bias = None if not self.l2 or error is None else _bias(x, error)
            finer = x if error is None or not residual else error / self.quantizer.units(codes.side)
            rows.write(plan.rows[part], codes, bias, None if codec is None else codec.encode(finer))
        encoded = self.encoded + len(labels)
        return replace(self, rows=rows, runs=plan.runs, ids=ids, encoded=encoded), plan.rows

    def added(self, rows: Ids, ids: Ids) -> "Content":
        """Return the content with staged rows in use under new ids."""
        runs = self.runs.taken(rows)
        return replace(self, runs=runs, ids=self.ids.added(runs, rows, ids))._tidy()

    def replaced(self, old: Ids, new: Ids) -> "Content":
        """Return the content with staged rows in the place of others."""
        runs = self.runs.taken(new).released(old)
        return replace(self, runs=runs, ids=self.ids.moved(runs, old, new))._tidy()

    def removed(self, rows: Ids) -> "Content":
        """Return the content with rows out of use."""
        runs = self.runs.released(rows)
        return replace(self, runs=runs, ids=self.ids.on(runs))._tidy()

    def _tidy(self) -> "Content":
        """Compact where more than half of the blocks could be spared, so that it costs O(1) for each change before."""
        if self.runs.blocks <= COMPACT_LEAST or 2 * self.runs.wasted <= self.runs.blocks:
            return self
        old, runs = self.runs.rows(), Runs.filled(self.runs.count, COMPACT_SLACK)
        new = runs.rows()
        rows = CodeRows.empty(self.rows.codebook, self.rows.codec, self.rows.side.dtype, self.l2).grown(runs.blocks)
        self.rows.copy_to(rows, old, new)
        return replace(self, rows=rows, runs=runs, ids=self.ids.gathered(runs, old, new))

    def assign(self, chunks: Chunks, count: int, threads: int) -> Ids:
        """Return the list of each vector."""
        labels = np.zeros(count, dtype=np.int64)
        if self.partition is not None:
            for first, x in chunks:
                labels[first : first + len(x)] = self.partition.assign(x, threads)
        return labels

    def decode(self, rows: Ids) -> Vectors:
        """Return the vectors of rows, as the finest form that is kept tells them."""
        finer, codec = None, self.rows.codec
        if codec is not None and self.rows.fine is not None:
            finer = codec.decode(self.rows.fine[rows])
            if not codec.residual:
                return finer
        codes = self.rows.codes(rows)
        vectors = self.quantizer.decode(codes)
        if self.partition is not None:
            vectors += self.partition.centroids[self.runs.lists(rows)]
        return vectors if finer is None else vectors + finer * self.quantizer.units(codes.side)


def _bias(x: Vectors, error: Vectors) -> Vectors:
    """Return -|x|²/2 + <x, error> of each row, ``error`` being x less its decoding.

    With it <q, decoded x> tells |q - decoded x|² - |error|², a squared distance that is off by 2 <q - x, error> only:
    little for near neighbours, where with |x|² alone it would be 2 <q, error>, as for any vector.
    """
    half = 0.5 * np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return (np.einsum("ij,ij->i", x, error, dtype=np.float64) - half).astype(np.float32)


def normalised(x: Vectors, metric: str) -> Vectors:
    """Return ``x`` scaled to unit length for metric "cosine" (zero vectors stay zero), else as it is."""
    if metric != "cosine":
        return x
    length = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))[:, None]
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0, casting="same_kind")
