"""Eight threads on one index and its file: the short form of ``python -m tests.storage.soak``."""

import numpy as np
import pytest

from tests.storage import soak
from tests.storage.soak import ALWAYS, Answer, Lives, Soak


@pytest.mark.parametrize("kind", soak.KINDS)
def test_eight_threads_lose_nothing_and_see_moments(kind, tmp_path):
    run = Soak(kind, tmp_path)
    run.run(1.5)
    assert run.faults == []
    assert min(run.counts[role] for role in ("searcher", "adder", "remover", "syncer", "loader")) > 0


def test_the_check_tells_moments_from_mixtures():
    lives = Lives(adding=[0, 2, 4], added=[1, 3, 5], removing=[6, ALWAYS, 2.5], removed=[7, ALWAYS, 3.5])

    def consistent(begin, end, *batches):
        return Answer(begin, end, np.array(batches, dtype=int)).of_one_moment(lives)

    assert consistent(0.5, 0.6)
    assert consistent(0.5, 0.6, 0)  # while it is added, either
    assert consistent(1.5, 1.6, 0)
    assert not consistent(1.5, 1.6)
    assert not consistent(1.5, 1.6, 0, 1)
    assert consistent(1.5, 2.1, 0, 1)
    assert consistent(6.5, 6.6, 1)
    assert not consistent(7.5, 9, 0, 1)
    assert consistent(6.5, 9, 0, 1)
    assert not consistent(0.5, 9, 1, 2)  # 2 went before it came: never there
    assert not consistent(3.6, 5.9, 0)  # 1 was there all the time


@pytest.mark.parametrize(
    ("name", "message"), [("halves", "part of a batch"), ("lost", "expected"), ("mixed", "a score is off|not its own")]
)
def test_the_soak_notices(name, message, tmp_path, monkeypatch):
    """It can fail: where batches come in two halves, a vector is lost, or gets another's id."""
    run = Soak("flat", tmp_path)
    add = run.index.add

    def faulty(x, ids):
        if name == "halves":
            add(x[:3], ids[:3])
            add(x[3:], ids[3:])
        elif name == "lost":
            add(x, ids)
            run.index.remove(ids[:1])
        else:
            add(x[::-1], ids)

    monkeypatch.setattr(run.index, "add", faulty)
    run.run(1)
    assert [fault for fault in run.faults if any(part in fault for part in message.split("|"))]
