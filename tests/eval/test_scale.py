"""The arithmetic of large indexes against numbers worked out by hand, and the page that shows it."""

import pytest

from eval import scale

CORE = scale.Core(
    dim=250, bits=4, bytes_per_vector=100, encoded=1e4, listed=1e3, scanned_single=1e7, scanned_batch=1e8, probed=1000,
    multiplied=1e8,
)  # fmt: skip
MACHINE = scale.Machine(cores=10, memory_gb=200, used=0.5, memory_gb_per_second=100, disk_gb_per_second=3, merge_ms=2.0)


def test_a_flat_index_is_bound_by_memory():
    # 1e9 vectors are 100 GB, one machine's half. Its 100 GB/s read them in 1 s; ten cores need 10 s for one query.
    assert scale.plan(CORE, MACHINE, 1e9, replicas=2, visited=1.0) == pytest.approx(
        {
            "stored_tb": 0.1,
            "machines": 2,
            "train_hours": 0,
            "add_hours": 1e9 / 1e4 / 20 / 3600,
            "move_hours": 3 * 1e12 / 3e9 / 2 / 3600,
            "latency_ms": 10_002,
            "queries_per_second": 2,  # each replica's ten cores compare 1e9 vectors a second in batches
        }
    )
    quick = scale.Core(**{**vars(CORE), "scanned_single": 1e9})
    assert scale.plan(quick, MACHINE, 1e9, 1, 1.0)["latency_ms"] == pytest.approx(1_002)


def test_lists_cost_their_choice_and_their_means():
    found = scale.plan(CORE, MACHINE, 4e9, replicas=1, visited=0.01)
    lists = 4 * 1e9**0.5  # four machines of 1e9 vectors
    assert found == pytest.approx(
        {
            "stored_tb": 0.4,
            "machines": 4,
            "train_hours": 640 * lists**2 / 1e9 / 3600,
            "add_hours": 4e9 / 1e3 / 40 / 3600,
            "move_hours": 3 * 4e12 / 3e9 / 4 / 3600,
            "latency_ms": 100 + 1 + 2,  # 1e7 vectors a machine, ten cores
            "queries_per_second": 10 / 1.001,
        }
    )


def test_the_page_keeps_its_prose(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "LISTS", 32)
    monkeypatch.setattr(scale, "LISTED_ROWS", 500)
    monkeypatch.setattr(scale, "PROBES", 4)
    path = tmp_path / "page.md"
    path.write_text(f"before\n{scale.OPEN}\nold\n{scale.CLOSE}\nafter\n")
    assert scale.main(["--dims", "8", "--bits", "4", "--vectors", "1500", "--page", str(path)]) == 0
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert text.count("| 100,000,000,000 |") == 3 and "8 dimensions at 4 bits" in text
    with pytest.raises(ValueError, match="expected the marks"):
        scale.write(path.with_name("other.md"), "x") if path.with_name("other.md").write_text("none") else None
