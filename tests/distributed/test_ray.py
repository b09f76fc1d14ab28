"""Build and search on a Ray cluster of two machines (both of them this one), with machines and actors lost."""

import dataclasses
import os
import signal
import threading
import time

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.distributed import Manifest, MissingShardsError, ShardedIndex, build, prune, writes
from ipaq_index.distributed.manifest import Shard, shard_file
from ipaq_index.distributed.routing import shard_of
from ipaq_index.index.errors import UnknownIdError
from tests.distributed.test_files import IDS, Q, X, write_parquet

# Before Ray is imported: its nodes then listen on the loopback interface alone, and it sends no usage statistics.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
pytest.importorskip("ray")
SHARDS, K = 2, 10
STORE = 80 << 20  # bytes of each machine's object store: near the least that Ray takes
QUICK = {  # a lost machine is noticed after seconds, not half a minute
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def cluster():
    """A head and one more machine."""
    warm = iq.Index(12, bits=4).build(X)  # compiles once, here, what all tasks and actors then take from numba's cache
    warm.search(Q, K), warm.search(Q[0], K), warm.search(Q, K, filter=[1])
    import ray
    from ray.cluster_utils import Cluster

    here = {"node_ip_address": "127.0.0.1", "object_store_memory": STORE, "include_dashboard": False}
    machines = Cluster(initialize_head=True, head_node_args={**here, "num_cpus": 2, "_system_config": QUICK})
    try:
        machines.second = machines.add_node(**here, num_cpus=2)
        ray.init(address=machines.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield machines
    finally:
        ray.shutdown()
        machines.shutdown()


@pytest.fixture(scope="module")
def built(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    source = write_parquet(folder / "source")
    manifest = build(source, folder / "shards", shards=SHARDS, column="emb", id_column="id", cpus=0.5, bits=4)
    assert manifest == Manifest.read(folder / "shards")
    return folder


@pytest.fixture(scope="module")
def directory(built):
    return built / "shards"


@pytest.fixture(scope="module")
def index(directory):
    with ShardedIndex(directory, replicas=2, cpus=0.1, timeout=60, patience=5) as opened:
        yield opened


@pytest.fixture(scope="module")
def single(directory):
    """One index that goes through what the sharded one does: same level sets, same vectors, added by id."""
    index = iq.load(directory / Manifest.read(directory).trained.file)
    order = np.argsort(IDS)
    index.add(X[order], ids=IDS[order])
    return index


def assert_same(found, single, q=Q, k=K, **options):
    """Check that an answer is the single index's, bit for bit."""
    scores, ids = single.search(q, k, **options)
    np.testing.assert_array_equal(found[1], ids)
    np.testing.assert_array_equal(found[0], scores)


def test_build_leaves_only_what_the_manifest_names(directory):
    manifest = Manifest.read(directory)
    names = {shard.file for shard in manifest.shards} | {manifest.trained.file, "manifest.json", ".lock"}
    assert {path.name for path in directory.iterdir()} == names
    assert manifest.count == len(X)


def test_a_build_that_fails_leaves_nothing(cluster, built, tmp_path):
    with pytest.raises(ValueError, match=r"part-\d.parquet: no column 'vec'; its columns are emb, id, text"):
        build(built / "source", tmp_path / "o", shards=2, column="vec", cpus=0.5)
    assert list((tmp_path / "o").iterdir()) == []


def test_build_takes_a_trained_index_or_parameters(cluster, built, tmp_path):
    with pytest.raises(ValueError, match="index: expected either"):
        build(built / "source", tmp_path / "o", shards=2, index=iq.Index(12), bits=4)
    with pytest.raises(ValueError, match="index: expected a trained index"):
        build(built / "source", tmp_path / "o", shards=2, index=iq.Index(12))


def test_answers_are_those_of_one_index(index, single):
    assert_same(index.search(Q, K), single)
    assert_same(index.search(Q[0], 3), single, q=Q[0], k=3)
    assert index.ntotal == len(index) == single.ntotal
    assert (index.dim, index.metric, index.shards) == (single.dim, single.metric, SHARDS)


def test_a_filter_goes_to_the_shards_of_its_ids(index, single):
    allowed = IDS[::9]
    assert_same(index.search(Q, K, filter=allowed), single, filter=allowed)
    one = [int(IDS[5])]
    scores, ids = index.search(Q, 2, filter=one)
    assert ids.tolist() == [[one[0], -1]] * len(Q) and (scores[:, 1] == -np.inf).all()
    assert (index.search(Q, 2, filter=[])[1] == -1).all()
    with pytest.raises(TypeError, match="filter: expected allowed ids, got a boolean mask"):
        index.search(Q, K, filter=np.ones(len(X), dtype=bool))


def test_a_callers_fault_is_told_at_once(index):
    begin = time.monotonic()
    with pytest.raises(ValueError, match="q: expected dimension 12, got 5"):
        index.search(np.zeros(5))
    with pytest.raises(ValueError, match="k: expected at least 1"):
        index.search(Q, 0)
    with pytest.raises(TypeError, match="nonsense"):
        index.search(Q, nonsense=1)
    assert time.monotonic() - begin < 20


def test_replicas_are_on_different_machines(index):
    import ray

    def place(server):
        return ray.get_runtime_context().get_node_id()

    for servers in index._servers:
        assert len(set(ray.get([server.__ray_call__.remote(place) for server in servers]))) == 2


def test_writes_are_routed_by_id_and_seen(index, single, directory):
    ids = index.add(2 * X[:30])
    np.testing.assert_array_equal(ids, np.arange(IDS.max() + 1, IDS.max() + 31))
    single.add(2 * X[:30], ids=ids)
    assert_same(index.search(Q, K), single)
    gone = np.concatenate([ids[:5], IDS[:5]])
    assert index.remove(gone) == 10
    single.remove(gone)
    assert_same(index.search(Q, K), single)
    assert index.ntotal == single.ntotal
    for entry in index.status():
        assert (entry["sequence"], entry["generation"]) == (2, 1)
    owners = shard_of(ids[5:], SHARDS)
    for shard in range(SHARDS):
        assert index._ask("contained", lambda _: (ids[5:],), [shard])[shard].tolist() == (owners == shard).tolist()


def test_a_refused_write_changes_nothing(index, single):
    with pytest.raises(ValueError, match=f"does not hold yet, got {IDS[20]}"):
        index.add(X[:2], ids=[99_999, IDS[20]])
    with pytest.raises(UnknownIdError, match="99999"):
        index.remove([99_999, IDS[20]])
    with pytest.raises(ValueError, match="missing: expected 'raise' or 'ignore'"):
        index.remove([1], missing="no")
    assert index.remove([99_999], missing="ignore") == 0
    assert_same(index.search(Q, K), single)


def test_writes_of_others_are_seen_after_refresh(index, single, directory):
    ids = np.array([70_000, 70_001])
    writes.put(directory, 3, writes.Write(ids, 3 * Q[:2]), SHARDS, next_id=70_002)
    index.refresh()
    single.add(3 * Q[:2], ids=ids)
    assert_same(index.search(Q, K), single)
    np.testing.assert_array_equal(index.add(X[:1]), [70_002])
    single.add(X[:1], ids=[70_002])


class Load:
    """Searches from several threads until stopped; every answer must be the whole one."""

    def __init__(self, index, expected):
        self.index, self.expected = index, expected
        self.complete, self.missing, self.wrong = 0, 0, []
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def _run(self):
        while not self._stop.is_set():
            try:
                found = self.index.search(Q, K)
            except MissingShardsError:
                with self._lock:
                    self.missing += 1
                continue
            except BaseException as error:
                self.wrong.append(error)
                return
            same = all(np.array_equal(a, b) for a, b in zip(found, self.expected, strict=True))
            with self._lock:
                self.complete += same
                if not same:
                    self.wrong.append(found)
            time.sleep(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for(self, more):
        """Wait until so many further answers have come."""
        goal, deadline = self.complete + more, time.monotonic() + 90
        while self.complete < goal:
            assert time.monotonic() < deadline and not self.wrong, self.wrong[:1]
            time.sleep(0.05)


def test_killing_servers_under_load_loses_nothing_silently(index, single):
    with Load(index, single.search(Q, K)) as load:
        load.wait_for(5)
        for shard in range(SHARDS):
            for entry in index.status():
                if entry["shard"] == shard and "pid" in entry:  # all replicas of a shard at once
                    os.kill(entry["pid"], signal.SIGKILL)
            load.wait_for(10)
    assert not load.wrong
    assert load.complete >= 25
    assert_same(index.search(Q, K), single)  # with all writes, which the killed servers had in memory only


def test_checkpoint_and_reload_under_load(index, single, directory):
    with Load(index, single.search(Q, K)) as load:
        load.wait_for(3)
        manifest = index.checkpoint()
        load.wait_for(6)
    assert not load.wrong and not load.missing
    assert (manifest.generation, manifest.sequence, manifest.next_id) == (2, 4, 70_003)
    assert manifest.count == single.ntotal and index.generation == 2
    assert len(prune(directory)) == SHARDS + 4  # shards of generation 1 and four writes
    assert iq.load(manifest.trained.check(directory)).is_trained  # still that of generation 1
    assert all(entry["generation"] == 2 for entry in index.status())
    assert_same(index.search(Q, K), single)


def test_a_generation_that_cannot_be_loaded_is_not_gone_over_to(index, single, directory, monkeypatch):
    old = Manifest.read(directory)
    path = directory / shard_file(0, old.generation + 1)
    good = (directory / old.shards[0].file).read_bytes()
    path.write_bytes(good)
    shards = (Shard.of(path, old.shards[0].count), *old.shards[1:])
    dataclasses.replace(old, generation=old.generation + 1, shards=shards).write(directory)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    monkeypatch.setattr(index, "_timeout", 2.0)
    with pytest.raises(MissingShardsError, match=r"no answer from 1 shard\(s\): shard 0: .*Error"):
        index.reload()
    assert index.generation == old.generation
    assert_same(index.search(Q, K), single)
    path.write_bytes(good)
    assert index.reload() == old.generation + 1
    assert_same(index.search(Q, K), single)


def test_a_lost_machine_leaves_complete_answers(cluster, index, single):
    with Load(index, single.search(Q, K)) as load:
        load.wait_for(3)
        cluster.remove_node(cluster.second, allow_graceful=False)
        load.wait_for(20)
    assert not load.wrong
    assert_same(index.search(Q, K), single)


def test_a_shard_that_is_gone_is_named(index, single):
    import ray

    while any("error" in entry for entry in index.status()):  # those of the lost machine, started again on this one
        time.sleep(0.2)
    for server in index._servers[1]:
        ray.kill(server)  # without restart
    index._timeout, index._patience = 2.0, 0.5
    with pytest.raises(MissingShardsError, match="no answer from 1 shard") as error:
        index.search(Q, K)
    assert list(error.value.missing) == [1]
    found = index.search_available(Q, K)
    assert list(found.missing) == [1] and "Actor" in found.missing[1]
    held = single.ids()
    assert_same(found, single, filter=held[shard_of(held, SHARDS) == 0])
    with pytest.raises(MissingShardsError):
        index.add(X[:50])
    assert {entry["shard"] for entry in index.status() if "error" in entry} == {1}
