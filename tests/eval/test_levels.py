"""`python -m eval.levels` in small: records, tables and pictures agree, and a run goes on where it stopped."""

import json

import numpy as np
import pytest

from eval.levels import __main__, bars, cases, values
from ipaq_index import levels

SMALL = cases.Plan(("normal", "Pareto(1.5)"), (7, 8), (4, 16), (3, 512))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("levels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases.Plan, "fast", staticmethod(lambda: SMALL))
        assert __main__.main(["--fast", "--seconds", "0", "--out", str(out)]) == 0
    return out


def test_records_tables_and_pictures(folder):
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len(records) == 8 * len(cases.SOLVERS) + 1
    for r in records[:-1]:
        w = values.draw(r["values"], r["m"])
        solver = cases.Solver(r["objective"], r["method"], r["ordered"], r["eps"])
        again = solver.solve(np.sort(w) if r["ordered"] else w, r["s"])
        assert r["cost"] == pytest.approx(levels.cost(w, again.levels, r["objective"]), rel=1e-9)
        assert r["lower_bound"] <= r["cost"] and len(r["seconds"]) >= cases.LEAST_ROUNDS
        assert bars.excess(r, records) > -1e-9
    table = (folder / "levels.md").read_text()
    assert table.count("| 2^8 |") == 4 * len(cases.SOLVERS)
    assert {file.name for file in folder.glob("*.png")} == {
        "time-size.png",
        "time-levels.png",
        "vnmse-size.png",
        "vnmse-levels.png",
    }


def test_a_run_goes_on_where_it_stopped(folder, monkeypatch, tmp_path):
    lines = (folder / "records.jsonl").read_text().splitlines()
    (tmp_path / __main__.PART).write_text("\n".join(lines[: 6 * len(cases.SOLVERS)]) + '\n{"cut')
    measured = []
    monkeypatch.setattr(cases.Plan, "fast", staticmethod(lambda: SMALL))
    monkeypatch.setattr(__main__, "measure", lambda *case: measured.append(case) or cases.measure(*case))
    assert __main__.main(["--fast", "--seconds", "0", "--out", str(tmp_path)]) == 0
    assert [case[:3] for case in measured] == [("Pareto(1.5)", 256, 4), ("Pareto(1.5)", 256, 16)]


def test_bars_are_judged():
    def record(solver, s, seconds, cost, method):
        shared = {"values": "normal", "m": 1 << 20, "s": s, "objective": "adv", "lower_bound": 1.0, "vnmse": 1.0}
        return shared | {
            "solver": solver,
            "method": method,
            "seconds": [seconds],
            "sort_seconds": [1.0],
            "cost": cost,
        }

    good = [record("adv vmix, unsorted", 4, 0.9, 1.004, "vmix"), record("adv exact, sorted", 4, 2.9, 1.0, "exact")]
    assert [row[-1] for row in bars.bar_rows(good)] == ["yes", "yes"]
    slow = [record("adv vmix, unsorted", 4, 1.1, 1.004, "vmix"), good[1]]
    assert [row[-1] for row in bars.bar_rows(slow)] == ["yes", "no"]
    poor = [record("adv vmix, unsorted", 4, 0.9, 1.006, "vmix"), good[1]]
    assert [row[-1] for row in bars.bar_rows(poor)] == ["yes", "no"]


def test_the_page_tells_the_worst():
    def record(name, solver, s, seconds, cost):
        shared = {"values": name, "m": 1 << 20, "s": s, "objective": "adv", "lower_bound": 1.0, "vnmse": 1.0}
        origin = {"cpu": "a CPU", "commit": "0123456789", "versions": {"numpy": "2"}}
        method = "exact" if "exact" in solver else "vmix"
        timed = {"solver": solver, "method": method, "seconds": [seconds], "sort_seconds": [0.01]}
        return shared | timed | {"cost": cost, "provenance": origin}

    records = [
        record(name, solver, s, seconds, cost)
        for name, seconds in (("normal", 0.005), ("Pareto(1.5)", 0.009))
        for s in (4, 16, 64)
        for solver, cost in (("adv vmix, unsorted", 1.002), ("adv exact, sorted", 1.0))
    ]
    text = bars.page(records)
    assert "takes 10.00 ms at 2^20" in text
    assert (
        "| adv vmix, unsorted, 2^20, s = 4, 16, 64 | – | 1, 1, 1 | 0.9, 0.9, 0.9 | 9, 9, 9 | 0.20% | 0.2% | yes |"
        in text
    )


def test_sizes_can_be_left_out(capsys):
    assert cases.Plan.full().up_to(16).exponents == (10, 12, 14, 16)
    assert __main__.main(["--fast", "--largest", "5"]) == 2
    assert "largest: expected at least 10, got 5" in capsys.readouterr().err


def test_values():
    for name in values.DRAWS:
        if values.most(name) is None:
            w = values.draw(name, 100)
            assert w.shape == (100,) and (w == values.draw(name, 100)).all()
    assert np.abs(values.draw("truncated normal", 1000)).max() <= 1
    with pytest.raises(ValueError, match="m: expected at most"):
        values.draw("GloVe 0", 1 << 20)
