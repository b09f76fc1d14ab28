"""The paper's experiments: theory against simulation, each set best at what it minimises, files written."""

import h5py
import numpy as np
import pytest

from eval.paper import __main__, recall, report, sets, variance
from tests import brute_force


def test_sets_cover_the_values():
    w = np.random.default_rng(0).standard_normal(200)
    lam = np.random.default_rng(1).exponential(size=200)
    for name in sets.SETS:
        found = sets.find(name, w, 8, lam)
        assert (found[0], found[-1]) == (w.min(), w.max())
        assert (np.diff(found) > 0).all()
        assert len(found) <= 8


def test_each_objective_is_least_for_its_own_set():
    records = list(variance.run([128], [4, 16], 1))
    assert len(records) == len(variance.DISTRIBUTIONS) * len(variance.WEIGHTS) * 2 * len(sets.SETS)
    for first in range(0, len(records), len(sets.SETS)):
        group = {r["set"]: r for r in records[first : first + len(sets.SETS)]}
        assert group["ADV"]["adv"] <= min(r["adv"] for r in group.values()) * (1 + 1e-9)
        assert group["MDV"]["mdv"] <= min(r["mdv"] for r in group.values()) * (1 + 1e-9)
        if group["ADV"]["weights"] == "equal":
            assert group["ADV"]["adv"] == pytest.approx(group["ASQ"]["adv"])


def test_the_variance_observed_is_that_of_the_theory():
    rng = np.random.default_rng(0)
    w, lam = rng.standard_normal(1024), rng.exponential(size=1024)
    for record in variance.compare(w, lam, 16, rng):
        assert record["observed"] == pytest.approx(record["adv"], rel=0.2)  # 128 x 128 pairs


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small-8-ip.hdf5"
    x = brute_force.clustered(700, 8, seed=0)
    with h5py.File(path, "w") as file:
        file["train"], file["test"], file["learn"] = x[:600], x[600:650], x[650:]
        file.attrs["distance"] = "ip"
    return path


def test_command_line_writes_tables_and_pictures(hdf5, tmp_path, monkeypatch, capsys):
    few = list(variance.run([1024], [16], 1))
    monkeypatch.setattr(variance, "run", lambda *_: few)
    monkeypatch.setattr(recall, "SYSTEMS", ("faiss:PQ{d}x4np", "ipaq:bits=4"))  # 256 centroids take FAISS 10 s here
    assert __main__.main(["--fast", "--out", str(tmp_path), "--dataset", f"hdf5:{hdf5}"]) == 0
    folder = tmp_path / "paper-fast"
    lines = (folder / "records.jsonl").read_text().splitlines()
    # 5 sets a vector and 4 a dimension, two roundings, and the systems; two metrics each
    assert len(lines) - len(few) == 2 * (9 * 2 + len(recall.SYSTEMS))
    table = (folder / "table.md").read_text()
    assert table.count("| = ASQ | = ASQ |") == 2
    assert "| normal | equal |" in table
    for name in ("adv", "mdv", "recall"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert __main__.main(["--fast", "--out", str(tmp_path), "--dataset", "nothing"]) == 2
    assert "expected one of glove-50" in capsys.readouterr().err


def test_ratios_are_means_over_seeds():
    records = [{"set": name, "seed": seed, "adv": cost} for seed in (0, 1) for name, cost in zip(
        sets.SETS, (8.0 if seed else 2.0, 1.0, 1.0, 1.0, 1.0), strict=True)]  # fmt: skip
    assert report.ratio(records, "adv")["uniform"] == pytest.approx(4.0)
