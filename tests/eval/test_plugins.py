"""The plug-ins inside trees laid out as ann-benchmarks and VIBE lay them out, driven as their runners drive them.

The base classes below offer what the real ones offer (name, arguments, what they leave to the algorithm), written from
their documentation; the data set is an HDF5 file of their layout.
"""

import importlib
import itertools
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from tests import brute_force

ROOT = Path(__file__).parent.parent.parent
BASE = """
from multiprocessing.pool import ThreadPool


class BaseANN(object):
    def done(self):
        pass

    def get_memory_usage(self):
        return 0.0

    def batch_query(self, X, n):
        self.res = ThreadPool().map(lambda q: self.query(q, n), X)

    def get_batch_results(self):
        return self.res

    def get_additional(self):
        return {}

    def __str__(self):
        return self.name
"""
X = brute_force.clustered(700, 10, seed=1)


@pytest.fixture(params=["annbenchmarks", "vibe"])
def tree(request, tmp_path, monkeypatch):
    """A tree with the base class and our folder in it; yields its package name and our definitions."""
    package = {"annbenchmarks": "ann_benchmarks", "vibe": "vibe"}[request.param]
    algorithms = tmp_path / package / "algorithms"
    (algorithms / "base").mkdir(parents=True)
    (algorithms / "base" / "module.py").write_text(BASE)
    shutil.copytree(ROOT / "eval" / request.param / "ipaq", algorithms / "ipaq")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    yield package, yaml.safe_load((algorithms / "ipaq" / "config.yml").read_text())
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def combinations(grid):
    """Expand a grid as both runners do: lists or tables of alternatives, in the order of the file."""
    parts = grid.values() if isinstance(grid, dict) else grid
    return list(itertools.product(*[part if isinstance(part, list) else [part] for part in parts]))


def small(arguments):
    """Take a definition's arguments down to a data set of this size."""
    bits, nlist, refine = arguments
    return bits, min(nlist, 8), refine


def recall_of(algorithm, test, truth, n=10):
    found = [algorithm.query(q, n) for q in test]
    for row in found:
        assert len(row) <= n
        assert len(set(row)) == len(row)
        assert (np.asarray(row) >= 0).all()
    return np.mean([len(set(f) & set(t)) / n for f, t in zip(found, truth, strict=True)])


@pytest.mark.parametrize(("distance", "metric"), [("angular", "cosine"), ("euclidean", "l2"), ("ip", "ip")])
def test_runs_through_the_contract(tree, tmp_path, distance, metric):
    package, definitions = tree
    if package == "vibe":
        distance = {"angular": "cosine"}.get(distance, distance)
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["train"], file["test"], file["learn"] = X[:600], X[600:640], X[640:]
        file.attrs["distance"], file.attrs["dimension"] = distance, 10
    with h5py.File(tmp_path / "data.hdf5") as file:
        train, test, learn = (np.array(file[name]) for name in ("train", "test", "learn"))
    truth = brute_force.top_k(train, test, 10, metric)
    (definition,) = definitions["float"]["any"]
    constructor = getattr(importlib.import_module(f"{definition['module']}.module"), definition["constructor"])
    assert definition["base_args"] == ["@metric"]
    recalls = {}
    for name, group in definition["run_groups"].items():
        arguments, queries = combinations(group["args"]), combinations(group["query_args"])
        algorithm = constructor(distance, *small(arguments[-1]))
        untouched = train.copy()
        if definition.get("ood"):
            algorithm.fit_ood(train, learn, np.zeros((60, 100), dtype=np.int32))
        else:
            algorithm.fit(train)
        np.testing.assert_array_equal(train, untouched)
        algorithm.set_query_arguments(*queries[-1])
        recalls[name] = recall_of(algorithm, test, truth)
        algorithm.batch_query(test, 10)
        batch = algorithm.get_batch_results()
        assert brute_force.recall(batch, truth) == pytest.approx(recalls[name], abs=0.01)
        assert algorithm.get_additional()["bytes_per_vector"] > 0
        said = str(algorithm)
        assert all(str(value) in said for value in (*small(arguments[-1])[:2], queries[-1][0] or None))
        if len(queries) > 1:
            algorithm.set_query_arguments(*queries[0])
            assert str(algorithm) != said
            assert recall_of(algorithm, test, truth) < recalls[name]  # one list finds less than all of them
    assert min(recalls.values()) > 0.9, recalls  # the last definition of each group has the most bits


def test_a_distance_without_meaning_is_refused(tree):
    package, _ = tree
    module = importlib.import_module(f"{package}.algorithms.ipaq.module")
    with pytest.raises(NotImplementedError, match="got 'hamming'"):
        module.Ipaq("hamming", 4, 0, "")


def test_recipes_install_what_pyproject_names(tree):
    package, _ = tree
    recipe = {"ann_benchmarks": "annbenchmarks/ipaq/Dockerfile", "vibe": "vibe/ipaq/image.def"}[package]
    assert "ipaq-index" in (ROOT / "eval" / recipe).read_text()
    assert 'name = "ipaq-index"' in (ROOT / "pyproject.toml").read_text()
