"""Keys, limits, batching and the store: the parts of the service without HTTP."""

import asyncio
import threading
import time

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.index.errors import UnknownIdError
from ipaq_index.serve import KeyRing, Limits
from ipaq_index.serve.batching import Batcher, OverloadedError
from ipaq_index.serve.store import NotSavedError, Store

KEY, OTHER = "0123456789abcdef", "fedcba9876543210-second"
X = np.random.default_rng(3).standard_normal((300, 8)).astype(np.float32)


def test_keys_are_read_one_a_line(tmp_path):
    (tmp_path / "keys").write_text(f"# of the team\n\n  {KEY}  \n{OTHER}\n")
    keys = KeyRing.read(tmp_path / "keys")
    assert keys.accepts(KEY.encode()) and keys.accepts(OTHER.encode())
    for wrong in (b"", KEY[:-1].encode(), (KEY + "0").encode(), b"# of the team", "ä".encode() * 20):
        assert not keys.accepts(wrong)


def test_every_key_is_compared(monkeypatch):
    import hmac

    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(1), real(a, b))[1])
    keys = KeyRing([KEY, OTHER])
    for given in (KEY.encode(), OTHER.encode(), b"neither of the two"):
        compared.clear()
        keys.accepts(given)
        assert len(compared) == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", f"{KEY}\nwith a space in it\n"])
def test_a_file_of_bad_keys_is_refused_without_showing_them(text, tmp_path):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match="api keys: ") as error:
        KeyRing.read(path)
    assert str(path) in str(error.value)
    assert "short" not in str(error.value).removeprefix(str(path)) and "with a" not in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("k", 0), ("batch", -1), ("body_seconds", 0), ("request_seconds", -1.0)])
def test_limits_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Limits(**{name: value})


class Slow:
    """A search that tells what it was asked and can be held up."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, queries, k, **options):
        self.gate.wait(10)
        self.calls.append((len(queries), k, options))
        return np.repeat(queries[:, :1], k, axis=1), np.zeros((len(queries), k), dtype=np.int64)


async def ask(batcher, *values, k=2, options=None):
    """Ask each value as a request of its own, at the same time."""
    tables = [np.full((1, 3), value, dtype=np.float32) for value in values]
    return await asyncio.gather(*(batcher.search(table, k, options) for table in tables), return_exceptions=True)


async def test_a_query_alone_is_not_kept_waiting():
    search = Slow()
    batcher = Batcher(search, most=8, waiting=100)
    scores, ids = await batcher.search(np.ones((1, 3), dtype=np.float32), 4)
    assert scores.tolist() == [[1.0] * 4] and ids.shape == (1, 4)
    assert search.calls == [(1, 4, {})]
    batcher.close()


async def test_queries_that_come_meanwhile_are_joined():
    search, seen = Slow(), []
    batcher = Batcher(search, most=4, waiting=100, observe=lambda queries, seconds: seen.append(queries))
    search.gate.clear()
    first = asyncio.create_task(ask(batcher, 0))
    await asyncio.sleep(0.05)
    others = asyncio.create_task(ask(batcher, *range(1, 8)))
    await asyncio.sleep(0.05)
    assert batcher.waiting == 7
    search.gate.set()
    answers = await first + await others
    assert [answer[0][0, 0] for answer in answers] == list(range(8))  # each gets its own
    assert [count for count, _, _ in search.calls] == seen == [1, 4, 3]
    assert batcher.waiting == 0
    batcher.close()


async def test_only_like_is_joined_with_like():
    search = Slow()
    batcher = Batcher(search, most=100, waiting=100)
    search.gate.clear()
    first = asyncio.create_task(ask(batcher, 0))
    await asyncio.sleep(0.05)
    tasks = [
        asyncio.create_task(ask(batcher, 1, 2, k=3)),
        asyncio.create_task(ask(batcher, 3, 4, k=3, options={"filter": [1]})),
        asyncio.create_task(ask(batcher, 5, 6, k=3, options={"nprobe": 2})),
        asyncio.create_task(ask(batcher, 7, k=3)),
    ]
    await asyncio.sleep(0.05)
    search.gate.set()
    await asyncio.gather(first, *tasks)
    assert search.calls == [
        (1, 2, {}),
        (3, 3, {}),
        (1, 3, {"filter": [1]}),
        (1, 3, {"filter": [1]}),
        (2, 3, {"nprobe": 2}),
    ]
    batcher.close()


async def test_too_many_waiting_queries_are_refused():
    search = Slow()
    batcher = Batcher(search, most=2, waiting=3)
    search.gate.clear()
    first = asyncio.create_task(ask(batcher, 0))
    await asyncio.sleep(0.05)
    others = asyncio.create_task(ask(batcher, 1, 2, 3, 4))
    await asyncio.sleep(0.05)
    search.gate.set()
    await first
    answers = await others
    assert [isinstance(answer, OverloadedError) for answer in answers] == [False, False, False, True]
    batcher.close()


async def test_an_error_reaches_those_that_asked_and_no_others():
    def search(queries, k, **options):
        if k == 3:
            raise ValueError("k: not three")
        return queries, queries.astype(np.int64)

    batcher = Batcher(search, most=8, waiting=100)
    wrong, right = await asyncio.gather(ask(batcher, 1, 2, k=3), ask(batcher, 1, k=2))
    assert [str(error) for error in wrong] == ["k: not three"] * 2
    assert right[0][0].shape == (1, 3)
    batcher.close()


async def test_a_client_that_went_away_is_not_searched_for():
    search = Slow()
    batcher = Batcher(search, most=1, waiting=100)
    search.gate.clear()
    first = asyncio.create_task(ask(batcher, 0))
    await asyncio.sleep(0.05)
    gone = asyncio.create_task(batcher.search(np.ones((1, 3), dtype=np.float32), 2))
    await asyncio.sleep(0.05)
    gone.cancel()
    search.gate.set()
    await first
    assert await ask(batcher, 5)
    assert len(search.calls) == 2 and batcher.waiting == 0
    batcher.close()


@pytest.fixture
def path(tmp_path):
    iq.save(iq.Index(8, bits=4).build(X), tmp_path / "i.ipaq")
    return tmp_path / "i.ipaq"


async def test_writes_are_on_disk_when_they_are_answered(path):
    store = Store.open(path)
    added = await store.add(2 * X[:3], None)
    assert added.tolist() == [300, 301, 302]
    assert iq.load(path).ids().tolist() == list(range(303))
    assert await store.remove(np.array([0, 301]), missing="raise") == 2
    assert set(iq.load(path).ids().tolist()) == set(range(303)) - {0, 301}
    added = await store.add(X[:2], np.array([301, 900]))
    assert added.tolist() == [301, 900] and 900 in iq.load(path)
    with pytest.raises(UnknownIdError):
        await store.remove(np.array([12345]), missing="raise")
    store.close()


async def test_an_addition_that_cannot_be_saved_is_taken_back(path, monkeypatch):
    store = Store.open(path)
    before = store.index.ids().tolist()

    def full(self, path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(iq.Index, "sync", full)
        with pytest.raises(NotSavedError, match=r"nothing was added: .*No space left"):
            await store.add(X[:3], None)
        assert store.index.ids().tolist() == before
        with pytest.raises(NotSavedError, match="1 vectors were removed, but"):
            await store.remove(np.array([5]), missing="raise")
    await store.add(X[:1], np.array([777]))
    assert set(iq.load(path).ids().tolist()) == set(before) - {5} | {777}
    store.close()


def test_a_store_wants_a_trained_index():
    with pytest.raises(ValueError, match="index: expected a trained index"):
        Store(iq.Index(4), None)


async def test_batches_give_the_answers_of_single_queries(path):
    store = Store.open(path)
    batcher = Batcher(store.index.search, most=16, waiting=1000)
    begin = time.monotonic()
    answers = await asyncio.gather(*(batcher.search(X[row : row + 1], 5) for row in range(50)))
    assert time.monotonic() - begin < 60
    for row, (scores, ids) in enumerate(answers):
        expected = store.index.search(X[row], 5)
        np.testing.assert_array_equal(ids, expected[1])
        np.testing.assert_array_equal(scores, expected[0])
    batcher.close()
    store.close()
