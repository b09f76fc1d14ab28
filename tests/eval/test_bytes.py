"""Comparison at equal bytes: what is kept, what is compared, what counts as behind."""

import json

import numpy as np
import pytest
from rich.console import Console

from eval import bytes as equal
from eval.datasets import Dataset

QUIET = Console(quiet=True)


def record(system, size, hits, dataset="heavy-7"):
    return {"dataset": dataset, "rows": 10, "queries": len(hits), "system": system, "bytes": size, "hits": hits}


def test_peers_meet_ours_at_their_size():
    records = [record("PQ7x8np", 7, [10] * 4), record("ipaq 7", 7, [9] * 4), record("SQ4", 4, [1, 2, 3, 4])]
    assert [pair.peer for pair in equal.pairs(records)] == ["PQ7x8np"]  # nothing of ours at 4 bytes yet
    assert equal.pairs(records)[0].gap == -np.inf
    assert equal.behind(equal.pairs(records)) == equal.pairs(records)
    records += [record("ipaq 4", 4, [2, 2, 3, 5]), record("EDEN4", 4.0, [4, 4, 4, 4])]
    by_peer = {pair.peer: pair for pair in equal.pairs(records)}
    assert by_peer["SQ4"].gap == pytest.approx(0.05 / (np.std([0.1, 0, 0, 0.1]) / 2))
    assert [pair.peer for pair in equal.best(equal.pairs(records))] == ["EDEN4", "PQ7x8np"]


@pytest.mark.parametrize(("bytes_of_peer", "size"), [(2, 0), (3, 3), (8.9, 8), (28, 9)])
def test_our_size(bytes_of_peer, size):
    assert equal.our_size(bytes_of_peer, 7) == size


def test_ties_count_as_hits():
    x = np.array([[1.0], [1.0], [0.5]] + [[0.0]] * 9, dtype=np.float32)
    dataset = Dataset("ties-1", "ip", x, np.ones((1, 1), dtype=np.float32))
    truth = np.arange(10)[None]
    found = np.array([[0, 1, 2, 11, 10, 9, 8, 7, 6, -1]])
    np.testing.assert_array_equal(equal.hits(dataset, found, truth), [9])


def test_what_is_on_record_is_not_measured_again(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    dataset = Dataset("any-4", "ip", rng.standard_normal((60, 4), np.float32), rng.standard_normal((5, 4), np.float32))
    truth = np.argsort(-dataset.queries @ np.asarray(dataset.train).T)[:, :10]
    calls = []

    def found(*arguments):
        calls.append(arguments[0])
        return 4.0, truth

    monkeypatch.setattr(equal, "peer", found)
    monkeypatch.setattr(equal, "ours", found)
    file = tmp_path / "records.jsonl"
    for _ in range(2):
        records = equal.Records(file, 1, QUIET)
        for system in ("SQ8", "ipaq 4"):
            assert records.get(system, dataset, np.asarray(dataset.train), truth)["hits"] == [10] * 5
    assert calls == ["SQ8", 4]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1]["origin"] = "another source"
    file.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"unfinis')
    records = equal.Records(file, 1, QUIET)
    assert [r["system"] for r in records.records] == ["SQ8"]
    records.get("ipaq 4", dataset, np.asarray(dataset.train), truth)
    assert [r["system"] for r in equal.Records(file, 1, QUIET).records] == ["SQ8", "ipaq 4"]
