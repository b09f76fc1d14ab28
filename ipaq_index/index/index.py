"""The public index."""

import threading
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ipaq_index.index.asking import Asking, Ids, Scores
from ipaq_index.index.config import SCALE_BYTES, IndexConfig, Metric, thread_count
from ipaq_index.index.content import Content, normalised
from ipaq_index.index.dataset import batches, sample
from ipaq_index.index.faiss_names import FaissNames
from ipaq_index.index.refine import Refine
from ipaq_index.index.state import describe, restored
from ipaq_index.index.training import quantizer_spec, sample_rows, trained
from ipaq_index.index.validation import as_count, as_id_array, as_ids, as_vectors, chunks, listed
from ipaq_index.index.versions import Versions


class Index(Asking, FaissNames):
    """Nearest neighbours by inner product, cosine or L2 over compressed codes.

    Parameters
    ----------
    dim : int
        Dimension of the vectors.
    bits : float, optional
        Mean bits a dimension, more than 0 and at most 8; 4 if neither this nor ``bytes_per_vector`` is given. Codes
        fill whole bytes: ``ceil(bits * dim / 8)`` of them, with two more for the scale (and four for metric "l2").
    bytes_per_vector : int, optional
        All bytes a vector may cost, scale, norm and refinement included, instead of ``bits``.
    metric : {"ip", "cosine", "l2"}
        "ip": scores are inner products, descending. "cosine": cosines, descending, from -1 to 1 up to the error of the
        codes. "l2": squared distances, ascending.
    nlist : int or "auto", optional
        Number of inverted lists. A search then looks only into those that fit the query best. "auto" chooses by the
        number of vectors trained on (none below 20,000). Without it the index is flat: every search looks at all codes.
    refine : {"fp16", "sq8"}, optional
        Keep finer vectors too, two bytes or one a dimension, which decide among the best candidates of a search. For
        inner products and cosines they are what codes leave of vectors, and so the finer the more bits these have.
    encoding : {"auto", "trellis", "scalar"}
        Trellis-coded level sets ("auto" too), or one level set a dimension: faster to build, less precise.
    states : int
        Of the trellis: 4, 8, …, 256. More are more precise and slower to add.
    r : float
        How far codes lean to the queries, 0 to 1.
    rounding : {"nearest", "stochastic"}
        "nearest" has the best recall. "stochastic" rounds to one of the two neighbouring levels at random: over seeds,
        the mean of every score is the inner product. It asks for a bit a dimension at least, and scalar encoding.
    objective : {"mse", "adv", "mdv"}, optional
        What level sets are made for: "mse" with rounding to nearest; with stochastic rounding the least mean variance
        of a coordinate ("adv", the default) or the least largest one ("mdv").
    transform : {"auto", "pca", "random", "none"}
        What is coded: coordinates chosen by vectors and queries ("auto"; see ``r``; with metric "l2" by the vectors
        alone), principal axes, a random rotation, or the vectors' own coordinates.
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

    Any number of threads may search while another adds, removes or updates. A search sees the index as it was when it
    began; nobody waits for it. Writers wait for one another.
    """

    def __init__(
        self,
        dim: int,
        bits: float | None = None,
        *,
        bytes_per_vector: int | None = None,
        metric: Metric = "ip",
        nlist: int | Literal["auto"] | None = None,
        refine: Refine | None = None,
        encoding: str = "auto",
        states: int = 256,
        r: float = 0.5,
        rounding: Literal["nearest", "stochastic"] = "nearest",
        objective: Literal["mse", "adv", "mdv"] | None = None,
        transform: Literal["auto", "pca", "random", "none"] = "auto",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        config = IndexConfig(
            dim=dim,
            bits=bits,
            bytes_per_vector=bytes_per_vector,
            metric=metric,
            nlist=nlist,
            refine=refine,
            encoding=encoding,
            states=states,
            r=r,
            rounding=rounding,
            objective=objective,
            transform=transform,
            seed=seed,
            threads=threads,
        )
        quantizer_spec(config)  # refuses what is impossible now rather than in train
        self._begin(config)

    def _begin(self, config: IndexConfig) -> None:
        self._config = config
        self._writer = threading.RLock()
        self._versions = Versions()
        self._nprobe: int | None = None
        self._tuned: int | None = None
        self._content = None

    def _publish(self, content: Content, freed: bool = False) -> None:
        """Put another content in the place of the present one; ``freed`` if rows go out of use."""
        self._versions.retire(self._content, freed)
        self._content = content

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
        asked = None if queries is None else as_vectors(queries, self.dim, "queries")
        chosen = None if ids is None else as_ids(ids, len(table))
        with self._writer:
            self._start_anew(self._added(trained(self._config, table, asked), table, chosen))
        return self

    def train(
        self, x: npt.ArrayLike, queries: npt.ArrayLike | None = None, *, centroids: npt.ArrayLike | None = None
    ) -> "Index":
        """Fit transform, level sets and bits per dimension, and the lists if there are any, to a sample of ``x``.

        Parameters
        ----------
        x : (n, dim) array_like
            Vectors like those to be added; at most 65,536 of them are looked at (or 128 a list), chosen by the seed.
        queries : (m, dim) array_like, optional
            Typical queries. Without them the vectors stand in.
        centroids : (nlist, dim) array_like, optional
            Centroids of the lists, where another index has found them already; k-means otherwise.

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
        given = None if centroids is None else as_vectors(centroids, self.dim, "centroids")
        if given is not None and len(given) != self._config.nlist:
            raise ValueError(f"centroids: expected nlist={self._config.nlist} of them, got {len(given)}")
        with self._writer:
            if self.ntotal:
                raise ValueError(
                    f"train: expected an index without vectors, got one that holds {self.ntotal}; "
                    "use build to start anew"
                )
            self._start_anew(trained(self._config, table, asked, given))
        return self

    def reset(self) -> None:
        """Remove all vectors; the index stays trained."""
        with self._writer:
            c = self._trained("reset")
            self._start_anew(Content.empty(c.quantizer, c.partition, c.l2, c.rows.codec))

    def _start_anew(self, content: Content) -> None:
        self._tuned = None
        self._versions = Versions()
        self._content = content

    def add(self, x: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> None:
        """Encode vectors and keep them. All are added, or none. Room that removed vectors left is used again.

        Parameters
        ----------
        x : (n, dim) array_like
            The vectors. Adding them in pieces gives the same index as adding them at once.
        ids : (n,) array_like of int, optional
            Their ids, from 0 upwards and not in the index yet; if not given, numbers continue after the largest that
            there ever was.

        Raises
        ------
        NotTrainedError
            If the index is not trained.
        """
        self._trained("add")
        table = as_vectors(x, self.dim, "x")
        chosen = None if ids is None else as_ids(ids, len(table))
        with self._writer:
            self._publish(self._added(self._trained("add"), table, chosen))

    def add_dataset(
        self,
        ds: Any,
        column: str = "emb",
        id_column: str | None = None,
        *,
        queries: npt.ArrayLike | None = None,
        batch_size: int = 16_384,
    ) -> int:
        """Add a column of a Hugging Face data set batch by batch, training first if the index is not trained.

        Parameters
        ----------
        ds : datasets.Dataset or datasets.IterableDataset
            Never held in memory whole. Level sets are fitted to an even sample of a `Dataset`, but to the first rows of
            a stream: shuffle one that has an order.
        column : str
            Column of vectors.
        id_column : str, optional
            Column of integer ids; numbers continue if not given.
        queries : (m, dim) array_like, optional
            Typical queries, for the training.
        batch_size : int
            Rows read at a time.

        Returns
        -------
        int
            How many vectors were added: all, or the call raised and none were.
        """
        rows = as_count(batch_size, "batch_size")
        asked = None if queries is None else as_vectors(queries, self.dim, "queries")
        with self._writer:
            content, before = self._content, self.ntotal
            read = batches(ds, self.dim, column, id_column, rows)
            if content is None:
                seen, read = sample(ds, read, self.dim, column, sample_rows(self._config.nlist), self._config.seed)
                content = trained(self._config, seen, asked)
            for vectors, ids in read:
                content = self._added(content, vectors, ids)
            if self._content is None:
                self._start_anew(content)
            else:
                self._publish(content)
            return self.ntotal - before

    def _added(self, content: Content, table: np.ndarray, ids: Ids | None) -> Content:
        if ids is not None:
            taken = ids[content.ids.rows_of(ids) >= 0]
            if len(taken):
                raise ValueError(f"ids: expected ids that the index does not hold yet, got {listed(taken)}")
        staged, rows = self._staged(content, table)
        return staged.added(rows, content.ids.new_ids(len(table)) if ids is None else ids)

    def _staged(self, content: Content, table: np.ndarray) -> tuple[Content, Ids]:
        """Encode vectors into rows that nobody sees yet."""
        threads = thread_count(self._config.threads)
        labels = content.assign(
            ((first, normalised(x, self.metric)) for first, x in chunks(table)), len(table), threads
        )
        vectors = ((first, normalised(x, self.metric)) for first, x in chunks(table))
        return content.staged(vectors, labels, threads, self._versions)

    def update(self, ids: npt.ArrayLike, x: npt.ArrayLike) -> None:
        """Put other vectors in the place of some. They keep their ids and their places in the order of adding.

        Parameters
        ----------
        ids : (n,) array_like of int
            Different ids in the index.
        x : (n, dim) array_like
            Their new vectors.

        Raises
        ------
        UnknownIdError
            If an id is not in the index; the message lists those.
        """
        self._trained("update")
        table = as_vectors(x, self.dim, "x")
        wanted = as_ids(ids, len(table))
        with self._writer:
            content = self._trained("update")
            old = self._rows(content, wanted)
            staged, new = self._staged(content, table)
            old = staged.ids.rows_of(wanted)  # making room may have moved them
            self._publish(staged.replaced(old, new), freed=True)

    def remove(self, ids: npt.ArrayLike, *, missing: Literal["raise", "ignore"] = "raise") -> int:
        """Remove vectors. The cost is that of those removed; now and then their room is closed up.

        Parameters
        ----------
        ids : int or (m,) array_like of int
            Ids of the vectors.
        missing : {"raise", "ignore"}
            What to do about ids that the index does not hold.

        Returns
        -------
        int
            How many vectors were removed.

        Raises
        ------
        UnknownIdError
            If an id is not in the index and ``missing`` is "raise"; the message lists those, and nothing is removed.
        """
        if missing not in ("raise", "ignore"):
            raise ValueError(f"missing: expected 'raise' or 'ignore', got {missing!r}")
        wanted = np.unique(as_id_array(ids))
        with self._writer:
            content = self._trained("remove")
            rows = self._rows(content, wanted) if missing == "raise" else content.ids.rows_of(wanted)
            rows = rows[rows >= 0]
            if len(rows):
                self._publish(content.removed(rows), freed=True)
        return len(rows)

    def reconstruct(self, ids: npt.ArrayLike) -> Scores:
        """Decode the vectors with the given ids.

        Parameters
        ----------
        ids : int or (m,) array_like of int
            Ids in the index.

        Returns
        -------
        (m, dim) float32
            The vectors as their codes, or the finer vectors beside them, tell them (unit vectors for metric "cosine");
            (dim,) for a single id.

        Raises
        ------
        UnknownIdError
            If an id is not in the index; the message lists those.
        """
        content = self._trained("reconstruct")
        vectors = content.decode(self._rows(content, as_id_array(ids)))
        return vectors[0] if np.ndim(ids) == 0 else vectors

    def ids(self) -> Ids:
        """Return the ids of all vectors, (ntotal,) int64, in the order of adding."""
        content = self._trained("ids")
        return content.ids.of_rows(content.ids.in_order()).copy()

    def __contains__(self, id: object) -> bool:
        """Return whether the index holds a vector of this id."""
        content = self._content
        if content is None or isinstance(id, bool | np.bool_) or not isinstance(id, int | np.integer):
            return False
        return 0 <= id < content.ids.next_id and bool(content.ids.rows_of(np.array([id], dtype=np.int64))[0] >= 0)

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters (JSON-able) and arrays: what a file holds. Under the lock they stay so."""
        state: dict[str, Any] = {"config": self._config.to_dict(), "nprobe": self._nprobe, "tuned": self._tuned}
        with self._writer:
            if self._content is not None:
                state |= describe(self._content)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` gave; nothing in it is trusted."""
        self._begin(IndexConfig(**{"scale_bytes": SCALE_BYTES} | state["config"]))  # older files had no choice
        self._set_probes(state)
        if "quantizer" in state:
            self._content = restored(self._config, state)
