"""The examples run, small, and say what they are to show."""

import importlib.util
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, capsys, *arguments):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(list(arguments))
    return capsys.readouterr().out


def test_semantic_search_finds_a_docstring_by_its_meaning(capsys):
    question = "read and write comma separated values"
    out = run("semantic_search", capsys, question, "--model", "glove", "--limit", "1200", "--bits", "8")
    assert out.startswith("1200 docstrings, 50 dimensions")
    assert len(re.findall(r"^  [ 0-9.-]{5}  \S+: .", out, re.MULTILINE)) == 5
    assert float(re.search(r"the codes find (\d+)%", out)[1]) >= 60


def test_recommendation_keeps_the_hits_of_exact_search(capsys):
    out = run("recommendation", capsys, "--users", "150", "--items", "600", "--dim", "16", "--rounds", "2")
    rows = [(float(a), float(b)) for a, b in re.findall(r"([\d.]+)% +([\d.]+)%", out)]
    assert len(rows) == 5
    assert rows[0][0] == 100
    assert rows[1][0] > 95
    assert rows[2][1] == pytest.approx(rows[0][1], rel=0.1)


def test_levels_halve_the_error_and_leave_no_bias(capsys):
    out = run("compress_tensors", capsys, "--tokens", "200", "--channels", "8", "--weights", "60", "--steps", "3")
    keys = re.findall(r"^ +(\d+) +\d +([\d.]+) +([\d.]+) +([\d.]+) +[\d.]+$", out, re.MULTILINE)
    assert [row[0] for row in keys] == ["4", "8", "16"]
    for _, even, best, bias in keys:
        assert float(best) < 0.9 * float(even)
        # The mean of 16 unbiased draws errs a quarter of what one does.
        assert float(bias) == pytest.approx(float(best) / 4, rel=0.2)
    gradients = re.findall(r"^ +\d+ +([\d.]+) +[\d.]+ +([\d.]+) +[\d.]+$", out, re.MULTILINE)
    assert len(gradients) == 3
    assert all(float(best) < float(even) for even, best in gradients)
