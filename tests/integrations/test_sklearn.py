"""The estimator against scikit-learn's own checks, and against its exact neighbours."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ipaq_index.integrations.sklearn import IPAQTransformer
from tests import brute_force

X = brute_force.clustered(660, 12, seed=2)
X, Q = X[:600], X[600:]
EXACT = {"l2": "euclidean", "cosine": "cosine"}


@parametrize_with_checks([IPAQTransformer(threads=1)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("nlist", [None, 8])
@pytest.mark.parametrize("metric", EXACT)
def test_distances_are_scikit_learns(metric, nlist):
    exact = NearestNeighbors(metric=EXACT[metric], n_neighbors=5).fit(X)
    found = IPAQTransformer(5, metric=metric, bits=8, nlist=nlist, nprobe=nlist).fit(X)
    for query in (Q, None):
        distances, numbers = found.kneighbors(query)
        expected, truth = exact.kneighbors(query)
        np.testing.assert_allclose(distances, expected, atol=0.03)
        assert brute_force.recall(numbers, truth) > 0.9
        assert (np.diff(distances, axis=1) >= 0).all()
        np.testing.assert_array_equal(found.kneighbors(query, return_distance=False), numbers)
    assert not (numbers == np.arange(600)[:, None]).any()


def test_distances_of_inner_products():
    found = IPAQTransformer(metric="ip", bits=8).fit(X)
    distances, numbers = found.kneighbors(Q)
    np.testing.assert_allclose(distances, 1 - np.einsum("ij,ikj->ik", Q, X[numbers]), atol=0.1)


def test_graphs():
    found = IPAQTransformer(3).fit(X)
    distances, numbers = found.kneighbors(Q)
    graph = found.kneighbors_graph(Q, mode="distance")
    assert graph.shape == (60, 600)
    np.testing.assert_array_equal(graph.indices.reshape(60, 3), numbers)
    np.testing.assert_array_equal(graph.data.reshape(60, 3), distances)
    assert set(found.kneighbors_graph().data) == {1.0}
    assert found.transform(Q).getnnz(1).tolist() == [4] * 60
    assert IPAQTransformer(3, mode="connectivity").fit_transform(X).getnnz(1).tolist() == [3] * 600
    with pytest.raises(ValueError, match="mode: expected 'connectivity' or 'distance', got 'both'"):
        found.kneighbors_graph(Q, mode="both")


def test_enough_neighbours_whatever_the_lists():
    found = IPAQTransformer(590, nlist=20, nprobe=1).fit(X)
    for query in (Q, None):
        assert (np.sort(found.kneighbors(query, return_distance=False), axis=1)[:, 0] >= 0).all()


def test_refused():
    with pytest.raises(NotFittedError):
        IPAQTransformer().kneighbors(Q)
    found = IPAQTransformer().fit(X)
    with pytest.raises(ValueError, match="n_neighbors: expected at most 599"):
        found.kneighbors(n_neighbors=600)
    with pytest.raises(ValueError, match="metric"):
        IPAQTransformer(metric="euclidean").fit(X)


def test_in_a_pipeline():
    labels = (X[:, 0] > 0).astype(int)
    model = make_pipeline(IPAQTransformer(10), KNeighborsClassifier(10, metric="precomputed")).fit(X, labels)
    direct = KNeighborsClassifier(10).fit(X, labels)
    assert np.mean(model.predict(Q) == direct.predict(Q)) > 0.9
    assert len(make_pipeline(IPAQTransformer(20), DBSCAN(eps=0.5, metric="precomputed")).fit_predict(X)) == 600
