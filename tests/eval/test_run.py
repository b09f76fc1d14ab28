"""The whole experiment on a small file of ann-benchmarks' layout: records, table and picture agree."""

import json
import re
import shutil

import h5py
import numpy as np
import pytest
from rich.console import Console

from eval import __main__, config, datasets, measure, report, systems
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


def test_glove_split_is_disjoint_and_seeded():
    a = datasets.load("glove-50-unit", queries=100, vectors=1000, seed=1)
    b = datasets.load("glove-50-unit", queries=100, vectors=1000, seed=1)
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_allclose(np.linalg.norm(a.train, axis=1), 1, rtol=1e-5)
    assert not {row.tobytes() for row in a.train} & {row.tobytes() for row in a.queries}


def test_unknown_dataset():
    with pytest.raises(ValueError, match="dataset: expected one of glove-50"):
        datasets.load("nothing", 1, None, 0)


SWEEP = {"system": "faiss:IVF4,PQ{d}x4fs,RFlat", "search": {"nprobe": [1, 4], "k_factor_rf": [20]}}


def experiment(hdf5, systems=("ipaq:bits=4", "ipaq:bits=2", "faiss:Flat", "faiss:SQ8", SWEEP, "faiss:Nonsense")):
    return config.parse(
        {
            "title": "small",
            "dataset": f"hdf5:{hdf5}",
            "systems": list(systems),
            "queries": 50,
            "rounds": 3,
            "single_queries": 5,
            "together": 3,
        }
    )


@pytest.fixture(scope="module")
def records(hdf5, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return run(experiment(hdf5), out / "a", out / "cache", Console(width=140)), out / "a"


def test_records_are_whole(records):
    made, folder = records
    assert [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()] == made
    assert not (folder / "records.part.jsonl").exists()
    *whole, last = made
    assert (last["system"], list(last)[2]) == ("faiss:Nonsense", "skipped")
    by_name = {record["name"]: record for record in whole}
    assert by_name["FAISS Flat"]["recall@10"] == 1
    assert by_name["FAISS Flat"]["bytes_per_vector"] == 32
    assert by_name["FAISS SQ8"]["bytes_per_vector"] == 8
    assert by_name["ipaq bits=4"]["bytes_per_vector"] == 6
    assert 0.5 < by_name["ipaq bits=2"]["recall@10"] < by_name["ipaq bits=4"]["recall@10"] <= 1
    one, four = (by_name[f"FAISS IVF4,PQ8x4fs,RFlat nprobe={p} k_factor_rf=20"] for p in (1, 4))
    assert one["recall@10"] < four["recall@10"] == 1  # all lists probed, 200 candidates rescored exactly
    assert 36 <= one["bytes_per_vector"] < 37  # 4 of codes, 32 of floats, and the padding of blocks
    for record in whole:
        assert len(record["batch_seconds"]) == len(record["single_seconds"]) == 3
        assert {"commit", "cpu", "isa", "versions"} <= record["provenance"].keys()
        assert (record["search_threads"], record["seed"], record["shape"]) == (1, 0, [600, 8])


def test_error_bars_are_compared_with_the_truth(records):
    ours = [r for r in records[0] if r["name"].startswith("ipaq")]
    for record in ours:
        seen = record["calibration"]
        assert seen["random"]["pairs"] == 50 * 400
        assert seen["top"]["pairs"] == 50 * 10
        assert (np.diff(seen["random"]["within"]) >= 0).all()
        assert 0.3 < seen["random"]["std"] < 3


def test_table_tells_the_records(records):
    made, folder = records
    lines = [line for line in (folder / "table.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(made) - 1
    for line, record in zip(lines[2:], made, strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == record["name"]
        assert float(cells[2]) == round(record["recall@10"], 3)
        rate = record["batch_queries"] / np.median(record["batch_seconds"])
        assert float(cells[4].replace(",", "")) == round(rate)
    assert report.single_rate({"single_seconds": [0.1, 0.5, 0.2]}) == pytest.approx(5)
    assert report.spread({"batch_seconds": [1.0, 1.0, 2.0, 3.0, 3.0]}) == pytest.approx(0.5)
    assert "Skipped: faiss:Nonsense" in (folder / "table.md").read_text()


def test_picture_and_page(records):
    made, folder = records
    assert (folder / "recall_speed.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "page.html").read_text()
    assert page.count("Plotly.newPlot(") >= 5
    for record in made[:-1]:
        assert record["name"] in page
    assert "Skipped: faiss:Nonsense" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)  # nothing from elsewhere


def test_report_derives_everything_again(records, tmp_path, capsys):
    _, folder = records
    shutil.copy(folder / "records.jsonl", tmp_path)
    assert report.main([str(tmp_path)]) == 0
    assert (tmp_path / "table.md").read_text() == (folder / "table.md").read_text()
    assert report.main([str(tmp_path / "none")]) == 2
    assert "expected records.jsonl" in capsys.readouterr().err


def test_an_ended_run_goes_on_where_it_stopped(hdf5, tmp_path, monkeypatch):
    """The second heat fails; the next run takes the first from the file and measures the second alone."""
    two = experiment(hdf5, ["faiss:Flat", "faiss:SQ8", "faiss:SQ4", "faiss:SQ6"])
    quiet = Console(quiet=True)
    built, real = [], measure.build

    def counting(system, *rest):
        built.append(system.name)
        if len(built) == 4:
            raise KeyboardInterrupt
        return real(system, *rest)

    monkeypatch.setattr(measure, "build", counting)
    with pytest.raises(KeyboardInterrupt):
        run(two, tmp_path, tmp_path / "cache", quiet)
    kept = (tmp_path / "records.part.jsonl").read_text()
    assert kept.count("\n") == 3
    assert not (tmp_path / "records.jsonl").exists()
    (tmp_path / "records.part.jsonl").write_text(kept + '{"name": "half a li')
    made = run(two, tmp_path, tmp_path / "cache", quiet)
    assert built[4:] == ["FAISS SQ6"]
    assert [json.dumps(r) for r in made[:3]] == kept.splitlines()
    assert [r["name"] for r in made] == ["FAISS Flat", "FAISS SQ8", "FAISS SQ4", "FAISS SQ6"]


def test_the_twin_that_warms_up_has_vectors_for_all_lists(hdf5, monkeypatch):
    monkeypatch.setattr(measure, "WARM_UP_ROWS", 10)
    data = datasets.load(f"hdf5:{hdf5}", 50, None, 0)

    def fresh():
        return systems.make("ipaq:bits=4,nlist=16", 0, data.train.shape)

    assert measure.build(fresh(), fresh, data, 1).seconds > 0


def test_front_leaves_out_the_beaten():
    points = [{"c": c, "g": g} for c, g in [(1, 0.5), (2, 0.4), (2, 0.7), (3, 0.7), (4, 0.9)]]
    kept = report.front(points, lambda r: r["c"], lambda r: r["g"])
    assert [(r["c"], r["g"]) for r in kept] == [(1, 0.5), (2, 0.7), (4, 0.9)]


def test_standing_says_who_is_ahead():
    def record(name, size, recall, seconds):
        return {
            "name": name,
            "bytes_per_vector": size,
            "recall@10": recall,
            "batch_queries": 1,
            "batch_seconds": [seconds],
            "shape": [1000, 8],
        }

    few = [record("ipaq a", 10, 0.9, 1.0), record("peer", 10, 0.8, 0.1), record("fast", 20, 0.95, 0.5)]
    text = report.standing([*few, record("ipaq b", 8, 0.5, 2.0)])
    by_bytes, by_speed, among_codes = text.split("- Front of recall@10 against ")[1:]
    assert "ipaq a (0.900 at 10 bytes)" in by_bytes
    assert "Behind fast (0.950 at 2/s with 20 bytes): ipaq a, ipaq b." in by_speed
    assert among_codes == "batch speed, at most 2 bytes a dimension: ipaq a (0.900 at 1/s)."


def test_command_line(tmp_path, hdf5, capsys):
    assert __main__.main([str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
    file = tmp_path / "a.toml"
    file.write_text(f'title = "t"\ndataset = "hdf5:{hdf5}"\nsystems = ["faiss:Flat"]\nrounds = 3\n')
    assert __main__.main([str(file), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a" / "records.jsonl").exists()
    file.write_text('title = "t"\ndataset = "nothing"\nsystems = ["faiss:Flat"]\n')
    assert __main__.main([str(file), "--out", str(tmp_path / "out")]) == 2
    assert "expected one of glove-50" in capsys.readouterr().err
