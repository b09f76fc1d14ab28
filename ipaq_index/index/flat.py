"""The public index."""

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index import scan
from ipaq_index.index.config import NORM_BYTES, IndexConfig, Metric, thread_count
from ipaq_index.index.errors import NotTrainedError, UnknownIdError
from ipaq_index.index.ids import IdMap
from ipaq_index.index.rows import CodeRows
from ipaq_index.index.stored import Stored
from ipaq_index.index.validation import as_count, as_id_array, as_ids, as_vectors, chunks, listed
from ipaq_index.quantizer import Codes, Quantizer, QuantizerSpec

TRAIN_ROWS = (
    65_536  # rows sampled for training: level sets and covariance of 100k and 400k rows differ by < 0.001 recall
)

QUANTIZER = "quantizer."  # prefix of the quantizer's arrays among the index's

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Index(Stored):
    """Nearest neighbours by inner product, cosine or L2 over compressed codes.

    Parameters
    ----------
    dim : int
        Dimension of the vectors.
    bits : float, optional
        Mean bits a dimension, more than 0 and at most 8; 4 if neither this nor ``bytes_per_vector`` is given. Codes
        fill whole bytes: ``ceil(bits * dim / 8)`` of them, with two more for the scale (and four for metric "l2").
    bytes_per_vector : int, optional
        All bytes a vector may cost, scale included, instead of ``bits``.
    metric : {"ip", "cosine", "l2"}
        "ip": scores are inner products, descending. "cosine": cosines, descending. "l2": squared distances, ascending.
    encoding : {"auto", "trellis", "scalar"}
        Trellis-coded level sets ("auto" too), or one level set a dimension: faster to build, less precise.
    states : int
        Of the trellis: 4, 8, …, 256. More are more precise and slower to add.
    r : float
        How far codes lean to the queries, 0 to 1.
    seed : int
        Everything random follows from it: same seed, data and parameters give the same codes and results.
    threads : int, optional
        Threads of `train`, `add` and `search` unless a call says otherwise; all cores if not given. Results do not
        depend on it.

    Raises
    ------
    TypeError, ValueError
        Here and in every method: if an argument is not of its kind or outside its range. The message names the
        argument, what was expected and what came, and the index is as it was before the call.

    Notes
    -----
    Codes are level sets per dimension after White and Singal, *Inner Product Aware Quantization*, arXiv:2606.00289.
    Searches may run from many threads at once, also beside one `add`; writers wait for one another.
    """

    def __init__(
        self,
        dim: int,
        bits: float | None = None,
        *,
        bytes_per_vector: int | None = None,
        metric: Metric = "ip",
        encoding: str = "auto",
        states: int = 256,
        r: float = 0.5,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self._config = IndexConfig(dim, bits, bytes_per_vector, metric, encoding, states, r, seed, threads)
        self._spec()  # refuses what is impossible now rather than in train
        self._content = None
        self._writer = threading.RLock()

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._config.dim

    @property
    def metric(self) -> Metric:
        """The metric: "ip", "cosine" or "l2"."""
        return self._config.metric

    @property
    def is_trained(self) -> bool:
        """Whether `train` (or `build`) has been called."""
        announced = self._announced
        return self._content is not None if announced is None else "quantizer" in announced

    @property
    def ntotal(self) -> int:
        """Number of vectors in the index."""
        announced = self._announced
        if announced is not None:
            return int(announced.get("count", 0))
        return self._content.packed.count if self._content is not None else 0

    def __len__(self) -> int:
        return self.ntotal

    def __repr__(self) -> str:
        state = f"ntotal={self.ntotal}" if self.is_trained else "not trained"
        return f"Index(dim={self.dim}, metric={self.metric!r}, bytes_per_vector={self.bytes_per_vector}, {state})"

    @property
    def bytes_per_vector(self) -> int:
        """Bytes a vector costs in memory and on disk: codes, scale and norm; ids apart (0 unless given, else 8)."""
        return self._config.code_bytes(self._side_bytes()) + self._side_bytes()

    def _side_bytes(self) -> int:
        return 2 + (NORM_BYTES if self.metric == "l2" else 0)

    def build(
        self, x: npt.ArrayLike, queries: npt.ArrayLike | None = None, ids: npt.ArrayLike | None = None
    ) -> "Index":
        """Train on ``x``, then add it: `train` and `add` in one. Vectors held before are replaced.

        Parameters
        ----------
        x : (n, dim) array_like
            The vectors.
        queries : (m, dim) array_like, optional
            Typical queries, to fit the codes to; not stored.
        ids : (n,) array_like of int, optional
            Ids of the vectors; 0 to n - 1 if not given.

        Returns
        -------
        Index
            This index.
        """
        table = as_vectors(x, self.dim, "x")
        chosen = None if ids is None else as_ids(ids, len(table))
        fresh = Index.__new__(Index)
        fresh.__setstate__({"config": self._config.to_dict()})
        fresh.train(table, queries)
        fresh._append(table, chosen)
        with self._writer:
            self._content = fresh._content
        return self

    def train(self, x: npt.ArrayLike, queries: npt.ArrayLike | None = None) -> "Index":
        """Fit transform, level sets and bits per dimension to a sample of ``x``.

        Parameters
        ----------
        x : (n, dim) array_like
            Vectors like those to be added; at most 65,536 of them are looked at, chosen by the seed.
        queries : (m, dim) array_like, optional
            Typical queries. Without them the vectors stand in.

        Returns
        -------
        Index
            This index.

        Raises
        ------
        ValueError
            Also if the index holds vectors already: their codes would lose their meaning.
        """
        table = as_vectors(x, self.dim, "x")
        asked = None if queries is None else as_vectors(queries, self.dim, "queries")
        if self.ntotal:
            raise ValueError(
                f"train: expected an index without vectors, got one that holds {self.ntotal}; use build to start anew"
            )
        rng = np.random.default_rng(self._config.seed)
        quantizer = Quantizer.fit(
            self._normalised(_sample(table, rng)),
            self._spec(),
            queries=None if asked is None else self._normalised(_sample(asked, rng)),
            threads=thread_count(self._config.threads),
        )
        with self._writer:
            self._content = _content(quantizer, self._empty_rows(quantizer), IdMap())
        return self

    def _spec(self) -> QuantizerSpec:
        config = self._config
        return QuantizerSpec(
            dim=self.dim,
            code_bits=8 * config.code_bytes(self._side_bytes()),
            encoding="trellis" if config.encoding == "auto" else config.encoding,
            states=config.states,
            r=config.r,
            seed=config.seed,
        )

    def _empty_rows(self, quantizer: Quantizer) -> CodeRows:
        q = quantizer
        codebook = scan.CodeBook(scan.Layout(q.bits), q.levels, q.symbol_levels, q.next_state, q.scale_format)
        side = np.dtype(f"u{quantizer.side_bytes}")
        return CodeRows(codebook, side, with_bias=self.metric == "l2")

    def add(self, x: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> None:
        """Encode vectors and keep them. All are added, or none.

        Parameters
        ----------
        x : (n, dim) array_like
            The vectors. Adding them in pieces gives the same index as adding them at once.
        ids : (n,) array_like of int, optional
            Their ids, from 0 upwards and not in the index yet; if not given, numbers continue after the largest.

        Raises
        ------
        NotTrainedError
            If the index is not trained.
        """
        self._trained("add")
        table = as_vectors(x, self.dim, "x")
        self._append(table, None if ids is None else as_ids(ids, len(table)))

    def _append(self, table: np.ndarray, ids: Ids | None) -> None:
        with self._writer:
            quantizer, rows, _, old_ids = self._trained("add")
            extended = old_ids.extended(ids, len(table))
            threads = thread_count(self._config.threads)
            rows.reserve(len(table))
            try:
                for first, chunk in chunks(table):
                    part = self._normalised(chunk)
                    codes = quantizer.encode(part, first_row=len(rows) + first, threads=threads)
                    rows.write(codes, _half_norms(part) if self.metric == "l2" else None)
            except BaseException:
                rows.rollback()
                raise
            rows.commit()
            self._content = _content(quantizer, rows, extended)

    def search(
        self,
        q: npt.ArrayLike,
        k: int = 10,
        *,
        filter: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> tuple[Scores, Ids]:
        """Find the ``k`` best vectors for each query.

        Parameters
        ----------
        q : (nq, dim) array_like
            The queries; one query may be given as (dim,).
        k : int
            How many neighbours.
        filter : array_like, optional
            Which vectors may be returned: an array of allowed ids, or a boolean mask over the vectors in the order in
            which they were added. The answer is the best ``k`` among these.
        threads : int, optional
            Threads of this call.

        Returns
        -------
        scores : (nq, k) float32
            Inner products or cosines, descending; squared distances, ascending, for metric "l2".
        ids : (nq, k) int64
            Ids of the neighbours. Equal scores stand in the order of adding. Where there are fewer than ``k``: id -1
            and score -inf (+inf for "l2").

        Raises
        ------
        NotTrainedError
            If the index is not trained.
        """
        quantizer, _, packed, id_map = self._trained("search")
        k = as_count(k, "k")
        queries = self._normalised(np.ascontiguousarray(as_vectors(q, self.dim, "q", single=True), dtype=np.float32))
        allowed = None if filter is None else _allowed(filter, id_map)
        projected, offset = quantizer.project(queries)
        scores, found = scan.top_k(
            packed, projected, k, offset=offset, allowed=allowed, threads=thread_count(threads, self._config.threads)
        )
        if self.metric == "l2":
            scores = np.maximum(_norms(queries)[:, None] - 2 * scores, 0, dtype=np.float32)
        return scores, id_map.of_rows(found)

    def reconstruct(self, ids: npt.ArrayLike) -> Scores:
        """Decode the vectors with the given ids.

        Parameters
        ----------
        ids : int or (m,) array_like of int
            Ids in the index.

        Returns
        -------
        (m, dim) float32
            The vectors as their codes tell them (unit vectors for metric "cosine"); (dim,) for a single id.

        Raises
        ------
        UnknownIdError
            If an id is not in the index; the message lists those.
        """
        quantizer, _, packed, id_map = self._trained("reconstruct")
        wanted = as_id_array(ids)
        found = id_map.rows_of(wanted)
        missing = wanted[found < 0]
        if len(missing):
            raise UnknownIdError(f"ids: not in the index: {listed(missing)}")
        vectors = quantizer.decode(Codes(packed.codebook.layout.unpack(packed.blocks, found), packed.side[found]))
        return vectors[0] if np.ndim(ids) == 0 else vectors

    def _trained(self, action: str) -> "Content":
        content: Content | None = self._content
        if content is None:
            raise NotTrainedError(
                f"{action}: expected a trained index, got one without level sets; call build(x) or train(x) first"
            )
        return content

    def _normalised(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``x`` scaled to unit length for metric "cosine" (zero vectors stay zero), else as it is."""
        if self.metric != "cosine":
            return x
        length = np.sqrt(_norms(x))[:, None]
        return np.divide(x, length, out=np.zeros_like(x), where=length > 0, casting="same_kind")

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters (JSON-able) and arrays: what a file holds. Under the lock they stay so."""
        state: dict[str, Any] = {"config": self._config.to_dict()}
        with self._writer:
            if self._content is not None:
                quantizer, rows, packed, id_map = self._content
                meta, arrays = quantizer.to_arrays()
                state |= {"count": packed.count, "quantizer": meta}
                state["arrays"] = {QUANTIZER + name: a for name, a in arrays.items()} | rows.arrays()
                if id_map.explicit is not None:
                    state["arrays"]["ids"] = id_map.explicit
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` gave; nothing in it is trusted."""
        self._writer = threading.RLock()
        self._config = IndexConfig(**state["config"])
        self._content = None
        if "quantizer" not in state:
            return
        count, arrays = as_count(state["count"], "count", least=0), state["arrays"]
        own = {name.removeprefix(QUANTIZER): a for name, a in arrays.items() if name.startswith(QUANTIZER)}
        quantizer = Quantizer.from_arrays(state["quantizer"], own)
        if quantizer.spec != self._spec():
            raise ValueError(f"quantizer: made for {quantizer.spec}, expected {self._spec()}")
        rows = self._empty_rows(quantizer)
        rows.restore(arrays, count)
        self._content = _content(
            quantizer, rows, IdMap(as_ids(arrays["ids"], count)) if "ids" in arrays else IdMap(count=count)
        )


class Content(NamedTuple):
    """What an index holds at one moment. Readers take it whole, once; writers put another in its place."""

    quantizer: Quantizer
    rows: CodeRows  # for writers: it grows
    packed: scan.PackedCodes
    ids: IdMap


def _content(quantizer: Quantizer, rows: CodeRows, ids: IdMap) -> Content:
    return Content(quantizer, rows, rows.packed, ids)


def _allowed(filter: npt.ArrayLike, id_map: IdMap) -> npt.NDArray[np.uint32]:
    """Return the filter as one word a block: bit i of word b is row 32 b + i."""
    count = len(id_map)
    mask = np.zeros(-(-count // scan.BLOCK) * scan.BLOCK, dtype=bool)
    given = np.asarray(filter)
    if given.dtype == bool:
        if given.shape != (count,):
            raise ValueError(f"filter: expected a boolean mask of shape ({count},), got {given.shape}")
        mask[:count] = given
    else:
        rows = id_map.rows_of(as_id_array(given, "filter"))
        mask[rows[rows >= 0]] = True
    return np.packbits(mask, bitorder="little").view("<u4")


def _sample(table: np.ndarray, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return at most `TRAIN_ROWS` rows as float32, in their order."""
    if len(table) > TRAIN_ROWS:
        table = table[np.sort(rng.choice(len(table), TRAIN_ROWS, replace=False))]
    return np.ascontiguousarray(table, dtype=np.float32)


def _norms(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return |x|² of each row; in float64, where the square of no float32 overflows."""
    return np.einsum("ij,ij->i", x, x, dtype=np.float64)


def _half_norms(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return -|x|²/2 of each row: added to <q, x> it ranks by L2 distance."""
    return (-0.5 * _norms(x)).astype(np.float32)
