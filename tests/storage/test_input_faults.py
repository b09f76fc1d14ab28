"""Whatever a caller passes: finite answers, or an error that names the argument and leaves the index as it was."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.index.validation import LARGEST

D = 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, D)).astype(np.float32)
KINDS = {
    "flat": {"states": 8},
    "l2": {"metric": "l2", "encoding": "scalar"},
    "cosine, lists": {"metric": "cosine", "nlist": 3, "states": 8},
    "l2, sq8": {"metric": "l2", "refine": "sq8", "encoding": "scalar"},
    "fp16": {"refine": "fp16", "encoding": "scalar"},
}


@pytest.fixture(scope="module", params=KINDS)
def index(request):
    return iq.Index(D, threads=1, **KINDS[request.param]).build(X)


def with_value(value, dtype=np.float32):
    x = X[:7].astype(dtype)
    x[4, 2] = value
    return x


VECTORS = {
    "nan": (with_value(np.nan), ValueError, "expected finite float32 values, got nan at row 4, column 2"),
    "inf": (with_value(np.inf), ValueError, "expected finite float32 values, got inf at row 4, column 2"),
    "-inf": (with_value(-np.inf), ValueError, "got -inf at row 4, column 2"),
    "beyond float32": (with_value(-1e300, np.float64), ValueError, r"got -1e\+300 at row 4, column 2"),
    "1e38": (with_value(1e38), ValueError, r"expected values up to 1e\+15, whose products fit float32, got .*e\+37"),
    "-1e38": (with_value(-1e38), ValueError, r"up to 1e\+15.* at row 4, column 2"),
    "int64": (np.full((3, D), 2**62), ValueError, r"up to 1e\+15.*got 4611686018427387904"),
    "dimension": (X[:, :4], ValueError, "expected dimension 5, got 4"),
    "3-d": (X[None], ValueError, r"expected a table of shape \(n, 5\), got shape \(1, 90, 5\)"),
    "scalar": (3.0, ValueError, r"got shape \(\)"),
    "no rows": (X[:0], ValueError, "expected at least one vector, got none"),
    "no columns": (X[:, :0], ValueError, "expected dimension 5, got 0"),
    "ragged": ([[1, 2, 3, 4, 5], [1]], ValueError, "rows of different lengths"),
    "complex": (X.astype(complex), TypeError, "got dtype complex128"),
    "object": (X.astype(object), TypeError, "got dtype object"),
    "text": (X.astype(str), TypeError, "got dtype <U"),
    "bool": (X > 0, TypeError, "got dtype bool"),
    "dates": (X.astype("datetime64[s]"), TypeError, "got dtype datetime64"),
    "None": (None, TypeError, "got dtype object"),
    "masked": (np.ma.masked_array(X, X > 1), ValueError, "got a masked array with missing ones"),
}
CALLS = {
    "build": ("x", lambda index, x: index.build(x)),
    "build's queries": ("queries", lambda index, x: index.build(X, queries=x)),
    "add": ("x", lambda index, x: index.add(x)),
    "update": ("x", lambda index, x: index.update([1], x)),
    "search": ("q", lambda index, x: index.search(x, 3)),
    "range_search": ("q", lambda index, x: index.range_search(x, 0.5)),
    "tune": ("queries", lambda index, x: index.tune(x)),
    "evaluate": ("q", lambda index, x: index.evaluate(x, X)),
}


@pytest.mark.parametrize("call", CALLS)
def test_faulty_vectors_are_refused_everywhere(index, call):
    before = index.to_bytes()
    name, function = CALLS[call]
    for value, error, message in VECTORS.values():
        if value is None and name == "queries" and call != "tune":
            continue
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            function(index, value)
    assert index.to_bytes() == before


IDS = {
    "beyond int64": ([2**63], ValueError, "fit int64, got 9223372036854775808"),
    "far beyond int64": ([2**70], TypeError, "fit int64, got dtype object"),
    "floats": ([1.0], TypeError, "got dtype float64"),
    "text": (["1"], TypeError, "got dtype <U1"),
    "bool": ([True], TypeError, "got dtype bool"),
    "None": ([None], TypeError, "got dtype object"),
    "table": ([[1, 2]], ValueError, r"flat list of ids, got shape \(1, 2\)"),
    "masked": (np.ma.masked_array([1, 2], [0, 1]), ValueError, "got a masked array with missing ones"),
}
ID_CALLS = {
    "add": lambda index, ids: index.add(X[: np.size(ids)], ids),
    "build": lambda index, ids: index.build(X[: np.size(ids)], ids=ids),
    "update": lambda index, ids: index.update(ids, X[: np.size(ids)]),
    "remove": lambda index, ids: index.remove(ids),
    "remove those there are": lambda index, ids: index.remove(ids, missing="ignore"),
    "reconstruct": lambda index, ids: index.reconstruct(ids),
    "search_ids": lambda index, ids: index.search_ids(ids, 3),
    "filter": lambda index, ids: index.search(X[:2], 3, filter=ids),
}


@pytest.mark.parametrize("call", ID_CALLS)
def test_faulty_ids_are_refused_everywhere(index, call):
    before = index.to_bytes()
    for kind, (ids, error, message) in IDS.items():
        if call == "filter" and kind == "bool":
            error, message = ValueError, "boolean mask"
        with pytest.raises(error, match=f"^(ids|filter): .*{message}"):
            ID_CALLS[call](index, ids)
    assert index.to_bytes() == before


def test_ids_that_are_not_there_are_named(index):
    before = index.to_bytes()
    for function in (index.remove, index.reconstruct, index.search_ids):
        for ids in ([-1], [-(2**63)], [2**63 - 1], [3, 4, 1000]):
            with pytest.raises(iq.index.errors.UnknownIdError, match=f"^ids: not in the index: {ids[-1]}"):
                function(ids)
    with pytest.raises(ValueError, match=r"^ids: expected ids from 0 upwards .*got -1"):
        index.add(X[:1], [-1])
    with pytest.raises(ValueError, match=r"^ids: expected ids that the index does not hold yet, got 3"):
        index.add(X[:2], [1000, 3])
    assert index.search(X[:1], 2, filter=[-5, 2**62])[1].tolist() == [[-1, -1]]
    assert index.to_bytes() == before


@pytest.mark.parametrize("k", [2**20 + 1, 2**31, 2**63, 10**30])
def test_a_huge_k_is_refused_before_memory_is_taken(index, k):
    for call in (lambda: index.search(X[:2], k), lambda: index.search_ids([1], k)):
        with pytest.raises(ValueError, match=r"^k: expected at most 1048576, got "):
            call()


def test_more_neighbours_than_vectors_are_filled_up(index):
    probes = index.nlist
    for k in (len(X) - 1, len(X), len(X) + 1, 5000):
        scores, ids = index.search(X[:2], k, nprobe=probes)
        assert (ids[:, : len(X)] >= 0).all()
        assert (ids[:, len(X) :] == -1).all()
        assert np.isinf(scores[:, len(X) :]).all()


def test_huge_counts_elsewhere_do_no_harm(index):
    for values in ({"nprobe": 10**30}, {"k_factor": 10**30}, {"threads": 10**30}):
        assert (index.search(X[:2], 3, **values)[1] >= 0).all()
    for threshold in (-np.inf, -1e300, np.inf, 1e300):
        lims, scores, _ = index.range_search(X[:2], threshold, nprobe=index.nlist)
        everything = (threshold > 0) == (index.metric == "l2")
        assert lims[-1] == (2 * len(X) if everything else 0)
        assert np.isfinite(scores).all()


FORMS = {
    "Fortran": np.asfortranarray(X),
    "big-endian": X.astype(">f4"),
    "big-endian float64": X.astype(">f8"),
    "every other column": np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": X[::-1][::-1],
    "read-only": np.frombuffer(X.tobytes(), dtype=np.float32).reshape(X.shape),
    "unaligned": np.frombuffer(b"0" + X.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(X.shape),
    "lists": X.tolist(),
    "nothing masked": np.ma.masked_array(X),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers_gives_the_same_index(index, form):
    x, ids = FORMS[form], np.arange(len(X)).astype(">i8")
    ids.flags.writeable = False
    built = iq.Index(D, threads=1, **{k: v for k, v in index._config.to_dict().items() if k in KINDS_KEYS})
    built.build(x, ids=ids)
    assert built.to_bytes() == index.to_bytes()
    for one, other in zip(built.search(x, 3), index.search(X, 3), strict=True):
        np.testing.assert_array_equal(one, other)


KINDS_KEYS = {key for kind in KINDS.values() for key in kind}
EXTREMES = {
    "largest": np.full((9, D), LARGEST, dtype=np.float32) * RNG.choice([-1, 1], (9, D)).astype(np.float32),
    "large": X * np.float32(1e14),
    "subnormal": X * np.float32(1e-41),
    "tiny": X * np.float32(1e-30),
    "of every size": X * np.float32(10) ** RNG.integers(-40, 14, (90, 1)).astype(np.float32),
    "zeros": np.zeros((9, D), dtype=np.float32),
    "one": X[:1],
    "signed zeros": np.float32(-0.0) * np.abs(X[:9]),
    "one column": X * np.eye(1, D, dtype=np.float32),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_extreme_values_give_finite_answers(index, name):
    extreme = EXTREMES[name]
    config = {k: v for k, v in index._config.to_dict().items() if k in KINDS_KEYS}
    indexes = [iq.Index(D, threads=1, **config).build(extreme) for _ in range(len(extreme) >= 3)]
    indexes.append(iq.Index(D, threads=1, **config).build(X))
    indexes[-1].add(extreme)
    indexes.append(iq.Index(D, threads=1, **config).build(X, queries=extreme))
    for built in indexes:
        for q in (extreme[:1], extreme[:8], X[:1], X[:8]):
            scores, ids, std = built.search(q, 3, nprobe=built.nlist, return_std=True)
            assert (ids >= 0).all()
            assert np.isfinite(scores).all()
            assert np.isfinite(std).all()
            assert np.isfinite(built.range_search(q, 0.0)[1]).all()
        assert np.isfinite(built.reconstruct(built.ids())).all()


@pytest.mark.parametrize("queries", [1, 9])
def test_far_vectors_are_found_from_their_mean(queries):
    far = iq.Index(D, metric="l2", encoding="scalar").build(X * np.float32(1e6))
    assert (far.search(np.zeros((queries, D)), 3)[1] >= 0).all()
