"""The whole experiment on a small file of ann-benchmarks' layout: records, table and picture agree."""

import json

import h5py
import numpy as np
import pytest
from rich.console import Console

from eval import __main__, datasets, report
from eval.config import Experiment
from eval.run import run
from tests import brute_force


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small-8-ip.hdf5"
    x = brute_force.clustered(700, 8, seed=0)
    with h5py.File(path, "w") as file:
        file["train"], file["test"], file["learn"] = x[:600].astype(np.float16), x[600:650], x[650:]
        file.attrs["distance"] = "ip"
    return path


def test_hdf5_layout(hdf5):
    data = datasets.load(f"hdf5:{hdf5}", queries=20, vectors=500, seed=0)
    assert data.metric == "ip"
    assert (data.train.shape, data.queries.shape, data.learn.shape) == ((500, 8), (20, 8), (50, 8))
    assert data.train.dtype == data.queries.dtype == np.float32


def test_glove_split_is_disjoint_and_seeded():
    a = datasets.load("glove-50-unit", queries=100, vectors=1000, seed=1)
    b = datasets.load("glove-50-unit", queries=100, vectors=1000, seed=1)
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_allclose(np.linalg.norm(a.train, axis=1), 1, rtol=1e-5)
    assert not {row.tobytes() for row in a.train} & {row.tobytes() for row in a.queries}


def test_unknown_dataset():
    with pytest.raises(ValueError, match="dataset: expected one of glove-50"):
        datasets.load("nothing", 1, None, 0)


@pytest.fixture(scope="module")
def records(hdf5, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    experiment = Experiment(
        "small",
        f"hdf5:{hdf5}",
        ["ipaq:bits=4", "ipaq:bits=2", "faiss:Flat", "faiss:SQ8"],
        queries=50,
        rounds=3,
        single_queries=5,
    )
    return run(experiment, out / "a", out / "cache", Console(width=140)), out / "a"


def test_records_are_whole(records):
    made, folder = records
    assert [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()] == made
    by_name = {record["name"]: record for record in made}
    assert by_name["FAISS Flat"]["recall@10"] == 1
    assert by_name["FAISS Flat"]["bytes_per_vector"] == 32
    assert by_name["FAISS SQ8"]["bytes_per_vector"] == 8
    assert by_name["ipaq bits=4"]["bytes_per_vector"] == 6
    assert 0.5 < by_name["ipaq bits=2"]["recall@10"] < by_name["ipaq bits=4"]["recall@10"] <= 1
    for record in made:
        assert len(record["batch_seconds"]) == len(record["single_seconds"]) == 3
        assert {"commit", "cpu", "isa", "versions"} <= record["provenance"].keys()
        assert (record["search_threads"], record["seed"], record["shape"]) == (1, 0, [600, 8])


def test_table_tells_the_records(records):
    made, folder = records
    table = (folder / "table.md").read_text().splitlines()
    assert len(table) == 2 + len(made)
    for line, record in zip(table[2:], made, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == record["name"]
        assert float(cells[2]) == round(record["recall@10"], 3)
        assert float(cells[4].replace(",", "")) == round(50 / np.median(record["batch_seconds"]))
    assert report.single_rate({"single_seconds": [0.1, 0.5, 0.2]}) == pytest.approx(5)


def test_picture_is_a_png(records):
    assert (records[1] / "recall_speed.png").read_bytes().startswith(b"\x89PNG")


def test_command_line_reports_mistakes(tmp_path, capsys):
    file = tmp_path / "a.toml"
    file.write_text('title = "t"\ndataset = "none"\nsystems = ["faiss:Flat"]\n')
    assert __main__.main([str(file), "--out", str(tmp_path)]) == 2
    assert "dataset: expected one of" in capsys.readouterr().err
    assert __main__.main([str(tmp_path / "missing.toml")]) == 2
