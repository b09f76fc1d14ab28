"""The directory: manifest, Parquet, shuffle, log, and a server on top of them. Without Ray."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import ipaq_index as iq
from ipaq_index import storage
from ipaq_index.distributed import shuffle, writes
from ipaq_index.distributed.build import _publish
from ipaq_index.distributed.errors import GenerationError, ManifestError
from ipaq_index.distributed.manifest import NAME, Manifest, Shard, sole_writer
from ipaq_index.distributed.merge import merge
from ipaq_index.distributed.parquet import Piece, as_vectors, files_of, pieces_of, read
from ipaq_index.distributed.routing import shard_of
from ipaq_index.distributed.server import ShardServer
from ipaq_index.storage import IndexFileError

DIM, SHARDS = 12, 3
RNG = np.random.default_rng(7)
X = RNG.standard_normal((700, DIM)).astype(np.float32)
Q = RNG.standard_normal((9, DIM)).astype(np.float32)
IDS = RNG.permutation(5_000)[:700]


def write_parquet(folder, x=X, ids=IDS, files=3, group=100):
    """Write vectors and ids into several files of several row groups."""
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(np.array_split(np.arange(len(x)), files)):
        vectors = pa.FixedSizeListArray.from_arrays(x[rows].ravel(), x.shape[1])
        table = pa.table({"emb": vectors, "id": pa.array(ids[rows]), "text": ["t"] * len(rows)})
        parquet.write_table(table, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


def build_here(source, target, most_rows=150, column="emb", id_column="id"):
    """Do what `build` does, without Ray: its steps one after the other."""
    pieces = pieces_of(files_of(source), most_rows)
    folder = target / ".build-test"
    folder.mkdir(parents=True)
    for piece in pieces:
        shuffle.spill(piece, column, id_column, SHARDS, folder, fraction=1.0)
    sample = shuffle.sample(len(pieces), folder)
    trained = iq.Index(sample.shape[1], bits=4).train(sample)
    iq.save(trained, folder / "trained.ipaq")
    counts = [shuffle.encode(shard, len(pieces), folder, folder / "trained.ipaq") for shard in range(SHARDS)]
    with sole_writer(target):
        manifest = _publish(trained, folder, target, counts, shuffle.greatest_id(len(pieces), folder) + 1)
    shutil.rmtree(folder)
    return manifest


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    build_here(write_parquet(folder / "source"), folder / "shards")
    return folder


@pytest.fixture
def shards(built, tmp_path):
    """A directory of shards that the test may change."""
    return shutil.copytree(built / "shards", tmp_path / "shards")


@pytest.fixture(scope="module")
def single(built):
    """One index with the same level sets and, in the order of ids, the same vectors."""
    index = iq.load(built / "shards" / Manifest.read(built / "shards").trained.file)
    order = np.argsort(IDS)
    index.add(X[order], ids=IDS[order])
    return index


def ask_all(directory, q=Q, k=10, sequence=0, **options):
    """Ask a server of each shard and merge."""
    manifest = Manifest.read(directory)
    servers = [ShardServer(str(directory), shard) for shard in range(SHARDS)]
    parts = [server.search(manifest.generation, sequence, q, k, options) for server in servers]
    return merge(parts, len(q), k, ascending=manifest.metric == "l2")


def test_shards_together_answer_as_one_index(built, single):
    scores, ids = ask_all(built / "shards")
    expected = single.search(Q, 10)
    np.testing.assert_array_equal(ids, expected[1])
    np.testing.assert_array_equal(scores, expected[0])


def test_manifest_tells_what_is_there(built):
    manifest = Manifest.read(built / "shards")
    assert (manifest.generation, manifest.dim, manifest.metric, manifest.sequence) == (1, DIM, "ip", 0)
    assert manifest.next_id == IDS.max() + 1
    assert manifest.count == len(X)
    for number, shard in enumerate(manifest.shards):
        index = iq.load(shard.check(built / "shards"))
        assert index.ntotal == shard.count == (shard_of(IDS, SHARDS) == number).sum()
    assert iq.load(manifest.trained.check(built / "shards")).is_trained
    assert not [path for path in (built / "shards").iterdir() if path.name.startswith(".build")]


def test_files_do_not_depend_on_how_the_source_is_cut(built, tmp_path):
    order = RNG.permutation(len(X))
    build_here(
        write_parquet(tmp_path / "s", X[order], IDS[order], files=1, group=333), tmp_path / "o", most_rows=10_000
    )
    for shard in Manifest.read(tmp_path / "o").shards:
        assert (tmp_path / "o" / shard.file).read_bytes() == (built / "shards" / shard.file).read_bytes()


def test_row_numbers_are_ids_where_there_is_no_column_of_them(tmp_path):
    build_here(write_parquet(tmp_path / "s"), tmp_path / "o", id_column=None)
    held = [ShardServer(str(tmp_path / "o"), shard).contained(1, 0, np.arange(701)) for shard in range(SHARDS)]
    assert np.sum(held, axis=0).tolist() == [1] * 700 + [0]


def test_a_second_build_is_another_generation(shards, built):
    manifest = build_here(built / "source", shards)
    assert manifest.generation == 2 and Manifest.read(shards) == manifest
    old = ShardServer(str(built / "shards"), 0)
    assert old.status()["generation"] == 1
    names = [shard.file for shard in Manifest.read(built / "shards").shards]
    assert sorted(writes.prune(shards)) == [*names, "trained-000001.ipaq"]
    assert not any((shards / name).exists() for name in names)
    assert ask_all(shards)[1].shape == (len(Q), 10)


def test_every_flipped_bit_of_a_manifest_is_seen(built, tmp_path):
    data = (built / "shards" / NAME).read_bytes()
    known = Manifest.read(built / "shards")
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        (tmp_path / NAME).write_bytes(changed)
        try:
            assert Manifest.read(tmp_path) == known  # white space between the values may change
        except ManifestError as error:
            assert NAME in str(error)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"xxh3": "0"}', "\xff"])
def test_what_is_no_manifest_is_refused(text, tmp_path):
    (tmp_path / NAME).write_text(text, encoding="latin1")
    with pytest.raises(ManifestError, match=NAME):
        Manifest.read(tmp_path)


def test_another_format_is_refused(built, tmp_path):
    from ipaq_index.distributed.manifest import _digest

    content = json.loads((built / "shards" / NAME).read_text()) | {"format": 9}
    content.pop("xxh3")
    (tmp_path / NAME).write_text(json.dumps({**content, "xxh3": _digest(content)}))
    with pytest.raises(ManifestError, match="another version"):
        Manifest.read(tmp_path)


def test_a_missing_manifest_is_told(tmp_path):
    with pytest.raises(ManifestError, match="not found"):
        Manifest.read(tmp_path)


def test_a_shard_that_is_another_file_is_refused(shards):
    first, second, _ = (shards / shard.file for shard in Manifest.read(shards).shards)
    shutil.copy(second, first)
    with pytest.raises(ManifestError, match="not the file that the manifest names"):
        ShardServer(str(shards), 0).status()
    first.unlink()
    with pytest.raises(ManifestError, match="cannot be read"):
        ShardServer(str(shards), 0).status()


def test_a_damaged_shard_is_refused_and_served_when_put_right(shards):
    path = shards / Manifest.read(shards).shards[1].file
    good = path.read_bytes()
    path.write_bytes(good[:-200] + bytes([good[-200] ^ 1]) + good[-199:])
    server = ShardServer(str(shards), 1)
    with pytest.raises(IndexFileError, match=path.name):
        server.search(1, 0, Q, 3, {})
    path.write_bytes(good)
    assert server.search(1, 0, Q, 3, {})[1].shape == (len(Q), 3)


def test_a_generation_that_is_not_there_is_told(shards):
    with pytest.raises(GenerationError, match="generation 7 is not held"):
        ShardServer(str(shards), 0).search(7, 0, Q, 3, {})


def test_a_server_serves_both_generations_while_it_reloads(shards, built):
    server = ShardServer(str(shards), 0)
    before = server.search(1, 0, Q, 5, {})
    build_here(built / "source", shards)
    assert server.prepare() == 2
    np.testing.assert_array_equal(server.search(1, 0, Q, 5, {})[1], before[1])
    np.testing.assert_array_equal(server.search(2, 0, Q, 5, {})[1], before[1])
    server.retire(2)
    with pytest.raises(GenerationError):
        server.search(1, 0, Q, 5, {})


def test_writes_reach_old_and_new_servers(shards):
    old = [ShardServer(str(shards), shard) for shard in range(SHARDS)]
    for server in old:
        server.prepare()
    ids = np.arange(10_000, 10_020)
    writes.put(shards, 1, writes.Write(ids, X[:20] * 3), SHARDS, next_id=10_020)
    writes.put(shards, 2, writes.Write(ids[:4], None), SHARDS, next_id=10_020)
    assert writes.last(shards, 0) == 2 and writes.next_id(shards, 2, otherwise=0) == 10_020
    for servers in (old, [ShardServer(str(shards), shard) for shard in range(SHARDS)]):
        held = [server.contained(1, 2, ids) for server in servers]
        assert np.sum(held, axis=0).tolist() == [0] * 4 + [1] * 16
        owners = np.argmax(held, axis=0)[4:]
        np.testing.assert_array_equal(owners, shard_of(ids, SHARDS)[4:])
    found = [server.search(1, 2, X[4:5], 1, {}) for server in old]
    assert merge(found, 1, 1, ascending=False)[1][0, 0] == 10_004


def test_a_lagging_server_never_answers_from_before_a_write(shards):
    server = ShardServer(str(shards), 0)
    server.prepare()
    owned = np.flatnonzero(shard_of(np.arange(20_000), SHARDS) == 0)[-1:]
    writes.put(shards, 1, writes.Write(owned, 9 * Q[:1]), SHARDS, next_id=20_001)
    assert server.search(1, 0, Q[:1], 1, {})[1][0, 0] != owned[0]
    assert server.search(1, 1, Q[:1], 1, {})[1][0, 0] == owned[0]
    with pytest.raises(ManifestError, match="missing or damaged"):
        server.search(1, 2, Q[:1], 1, {})


def test_a_damaged_write_is_told(shards):
    writes.put(shards, 1, writes.Write(np.arange(9_000, 9_050), X[:50]), SHARDS, next_id=9_050)
    (path,) = (shards / "writes").glob("*.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    raised = 0
    for shard in range(SHARDS):
        try:
            ShardServer(str(shards), shard).status()
        except ManifestError as error:
            raised += path.name in str(error)
    assert raised == 1  # the byte belongs to the part of one shard


def test_saving_a_shard_keeps_its_writes(shards):
    ids = np.arange(9_000, 9_030)
    writes.put(shards, 1, writes.Write(ids, X[:30]), SHARDS, next_id=9_030)
    server = ShardServer(str(shards), 2)
    entry = server.save(1, 1, 2)
    assert entry == Shard.of(shards / "shard-00002-000002.ipaq", entry.count)
    held = iq.load(shards / entry.file)
    assert set(ids[shard_of(ids, SHARDS) == 2]) <= set(held.ids().tolist())
    assert held.ntotal == entry.count == server.status()["ntotal"]


def test_equal_scores_stand_by_id_across_shards(tmp_path):
    x = np.concatenate([np.repeat(5 * X[:1], 40, axis=0), X])
    build_here(write_parquet(tmp_path / "s", x, np.arange(len(x))[::-1].copy()), tmp_path / "o")
    scores, ids = ask_all(tmp_path / "o", q=x[:1], k=12)
    assert len(set(scores[0].tolist())) == 1
    assert ids[0].tolist() == list(range(len(X), len(X) + 12))


def test_ids_given_twice_are_named(tmp_path):
    ids = IDS.copy()
    ids[650] = ids[3]
    with pytest.raises(ValueError, match=f"got {ids[3]} more than once"):
        build_here(write_parquet(tmp_path / "s", X, ids), tmp_path / "o")
    assert not (tmp_path / "o" / NAME).exists()


def test_pieces_follow_row_groups(tmp_path):
    pieces = pieces_of(files_of(write_parquet(tmp_path / "s", files=2, group=100)), most_rows=200)
    assert [(p.groups, p.first_row, p.rows) for p in pieces] == [
        ((0, 1), 0, 200),
        ((2, 3), 200, 150),
        ((0, 1), 350, 200),
        ((2, 3), 550, 150),
    ]
    assert [p.number for p in pieces] == [0, 1, 2, 3]
    rows = [np.concatenate([ids for _, ids in read(piece, "emb", None)]) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(700))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 3)])
def test_lists_of_all_kinds_are_read(kind):
    table = pa.chunked_array([pa.array([np.float16([1, 2, 3]), np.float16([4, 5, 6])], type=kind)] * 2)
    np.testing.assert_array_equal(as_vectors(table, "here"), [[1, 2, 3], [4, 5, 6]] * 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0], [3.0]], "lists of one length"),
        ([[1.0, 2.0], None], "1 nulls"),
        ([[1.0, None], [1.0, 2.0]], "1 nulls"),
        ([["a"], ["b"]], "lists of numbers"),
        ([1.0, 2.0], "lists of numbers"),
    ],
)
def test_columns_that_are_no_vectors_are_refused(values, message):
    with pytest.raises(ValueError, match=f"here: .*{message}"):
        as_vectors(pa.chunked_array([pa.array(values)]), "here")


@pytest.mark.parametrize(
    ("column", "id_column", "message"),
    [("vec", "id", "no column 'vec'; its columns are emb, id, text"), ("emb", "text", "expected integers")],
)
def test_columns_that_are_not_there_are_named(column, id_column, message, tmp_path):
    (piece, *_) = pieces_of(files_of(write_parquet(tmp_path / "s")))
    with pytest.raises(ValueError, match=message):
        list(read(piece, column, id_column))


def test_negative_ids_are_refused(tmp_path):
    source = write_parquet(tmp_path / "s", ids=IDS - 10_000)
    with pytest.raises(ValueError, match="expected ids from 0"):
        list(read(pieces_of(files_of(source))[0], "emb", "id"))


def test_a_source_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="source: expected Parquet files, got none"):
        files_of(tmp_path)


def test_a_piece_travels_as_a_row():
    piece = Piece(1, "f", (0, 1), 5, 9)
    assert piece.to_dict() == {"number": 1, "file": "f", "groups": [0, 1], "first_row": 5, "rows": 9}


def test_storage_reads_what_servers_wrote(shards):
    for shard in Manifest.read(shards).shards:
        storage.verify(shards / shard.file)
