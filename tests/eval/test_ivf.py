"""What is read off the records of partitioned indexes."""

import json

import numpy as np
import pytest

from eval import ivf


def record(name, recall, rate, size, system=None):
    return {
        "name": name, "system": system or name, "family": name.split()[0], "recall@10": recall,
        "bytes_per_vector": size,
        "batch_queries": 100, "batch_seconds": [100 / rate], "single_seconds": [1 / rate],
    }  # fmt: skip


OURS = [record("ipaq a", 0.8, 4000, 30), record("ipaq a", 0.9, 1000, 30), record("ipaq a", 0.85, 500, 30)]
PEER = [record("FAISS b", 0.7, 2000, 70), record("FAISS b", 0.95, 400, 70)]


def test_rate_between_points():
    assert ivf.rate_at(OURS, 0.85) == pytest.approx(2000)
    assert ivf.rate_at(OURS, 0.9) == pytest.approx(1000)
    assert np.isnan(ivf.rate_at(OURS, 0.95))


def test_points_not_beaten():
    assert [name for name, _, _ in ivf.beaten_everywhere(OURS + PEER, 70)] == ["FAISS b"]
    assert ivf.beaten_everywhere(OURS + PEER[:1], 70) == []
    assert len(ivf.beaten_everywhere(OURS + PEER, 29)) == 2


def test_table_of_a_folder(tmp_path, capsys):
    (tmp_path / "records.jsonl").write_text("\n".join(json.dumps(r) for r in OURS + PEER))
    assert ivf.main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "| ipaq a | 30 | 2,000 | 2.63 |" in shown
    assert "FAISS, 70 bytes: not beaten at FAISS b" in shown
    assert ivf.main([str(tmp_path / "nothing")]) == 2


def test_build_is_measured():
    found = ivf.build(vectors=3000, dim=8, bits=4, nlist=16, threads=2)
    assert found["seconds"] > found["train_seconds"] > 0
    assert found["bytes_per_vector"] == 6
