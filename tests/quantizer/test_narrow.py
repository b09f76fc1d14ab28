"""Matrices in 8 and 16 bits are exact: scores stay what they are, whatever is rounded."""

import numpy as np
import pytest

from ipaq_index import Index
from ipaq_index.quantizer import narrow, transform
from ipaq_index.quantizer.product import product
from tests.compiled import compiled

D = 270


def spread_out(power):
    """Vectors whose variances fall along hidden axes."""
    rng = np.random.default_rng(3)
    scale = (1 + np.arange(D)) ** -power
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0]
    return ((rng.standard_normal((700, D)) * scale) @ axes).astype(np.float32)


@pytest.fixture(scope="module", params=[0.5, 1.2], ids=["even", "steep"])
def fitted(request):
    x = spread_out(request.param)
    plain = transform.fit(x, x, 0.5)
    return x, plain, narrow.narrowed(plain, x, 4 * D), request.param > 1


def test_scores_are_as_exact_as_before(fitted):
    x, _, found, _ = fitted
    q = x[:20]
    scores = (x - found.mean) @ found.forward @ (q @ found.dual).T + (q @ found.mean)
    np.testing.assert_allclose(scores, x @ q.T, atol=1e-4 * np.abs(x @ q.T).max())


def test_few_columns_are_in_words_and_only_where_variances_fall_steeply(fitted):
    _, plain, found, steep = fitted
    panels = narrow.panels(found.dual)
    assert panels is not None and len(panels.columns) == -(-D // narrow.PANEL)
    assert len(panels.words) == (1 if steep else 0)
    assert narrow.panels(plain.dual) is None  # as in files of before


def test_panels_give_the_bits_that_floats_give(fitted):
    x, _, found, _ = fitted
    panels, expected, p = narrow.panels(found.dual), product(x[:3], found.dual), np.empty(D, dtype=np.float32)
    multiply = compiled(narrow.accumulate_panels)
    for query, projected in zip(x[:3], expected, strict=True):
        for way in (narrow.accumulate_panels, multiply):
            way(query, panels, p)
            np.testing.assert_array_equal(p, projected)


def test_what_cannot_be_narrowed_is_left_as_it_is():
    constant = np.ones((300, D), dtype=np.float32)
    plain = transform.fit(constant, constant, 0.5)
    assert narrow.narrowed(plain, constant, 4 * D) is plain
    steep = spread_out(3.0)
    plain = transform.fit(steep, steep, 0.5)
    assert narrow.narrowed(plain, steep, 4 * D) is plain
    assert narrow.panels(np.full((4, 4), 0.5, dtype=np.float32)) is None  # small enough


def test_largest_numbers_stay_what_they_are():
    """127.9 units of 8 bits are 127: not 128, of which the column's unit would be another."""
    matrix = np.zeros((D, D), dtype=np.float32)
    matrix[0], matrix[1] = 127.9, -0.3 * np.arange(D)
    rounded = narrow._rounded(matrix, narrow.BYTE)
    panels = narrow.panels(rounded)
    assert panels is not None and not len(panels.words)
    np.testing.assert_array_equal((panels.bytes * panels.units[:, None, :])[0], rounded[:, : narrow.PANEL])


def test_one_query_alone_in_many_dimensions(monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_DIMS", D)
    x = spread_out(1.2)
    index = Index(D, bits=4, states=4, threads=1).build(x[:600])
    assert index._content.quantizer.panels is not None
    scores, ids = index.search(x[600:620], k=3)
    for row, query in enumerate(x[600:620]):
        alone = index.search(query, k=3)
        np.testing.assert_array_equal(alone[0][0], scores[row])
        np.testing.assert_array_equal(alone[1][0], ids[row])
