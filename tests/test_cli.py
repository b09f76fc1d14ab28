"""The command line as a user types it: files in, files out, accounts, exit codes."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ipaq_index as iq
from ipaq_index import commands
from ipaq_index.cli import app
from tests import brute_force
from tests.integrations.test_vector_files import write_bin, write_parquet, write_vecs

ROOT = Path(__file__).parent.parent
X = brute_force.clustered(500, 12, seed=0)
Q = brute_force.clustered(540, 12, seed=0)[500:]


def ipaq(*words, code=0):
    """Run a command in this process; return standard output, after checking the exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def told(*words):
    return json.loads(ipaq(*words, "--json"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with vectors in several layouts, which is the current one."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("q.npy", Q)
    write_vecs("x.fvecs", X)
    write_bin(tmp_path / "x.fbin", X)
    write_parquet("x.parquet", {"name": ["n"] * 500, "emb": list(X)}, 100)
    write_vecs("q.fvecs", Q)
    return tmp_path


@pytest.fixture
def index(home):
    told("build", "x.npy", "-o", "a.ipaq", "--bits", 4)
    return home / "a.ipaq"


def test_build_is_the_library_s_build(home, index):
    expected = iq.Index(12, bits=4).build(X).search(Q)
    for got, wanted in zip(iq.load(index).search(Q), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_every_layout_builds_the_same_index(home, index):
    for name in ("x.fvecs", "x.fbin", "x.parquet"):
        account = told("build", name, "-o", f"{name}.ipaq", "--bits", 4)
        assert (account["ntotal"], account["dim"], account["bytes_per_vector"]) == (500, 12, 8)
        assert Path(f"{name}.ipaq").read_bytes() == index.read_bytes()
        assert account["file_bytes"] == index.stat().st_size


def test_parameters_reach_the_index(home):
    np.savetxt("ids.txt", np.arange(500) * 3 + 1, fmt="%d")
    ipaq("build", "x.npy", "-o", "b.ipaq", "--bytes", 7, "--metric", "cosine", "--queries", "q.npy",
         "--ids", "ids.txt", "--seed", 5, "--encoding", "scalar", "--nlist", 4, "--rounding", "stochastic")  # fmt: skip
    b = iq.load("b.ipaq")
    assert (b.metric, b.bytes_per_vector, b.nlist) == ("cosine", 7, 4)
    config = told("info", "b.ipaq")["config"]
    assert (config["seed"], config["encoding"], config["rounding"]) == (5, "scalar", "stochastic")
    assert set(np.unique(b.search(Q)[1])) <= set(range(1, 1501, 3)) | {-1}


def test_add(home, index):
    before = index.read_bytes()
    assert told("add", index, "x.fvecs")["ntotal"] == 1000
    twice = iq.Index(12, bits=4).build(X)
    twice.add(X)
    np.testing.assert_array_equal(iq.load(index).search(Q)[1], twice.search(Q)[1])
    index.write_bytes(before)
    np.save("ids.npy", np.arange(400, 900))
    assert "does not hold yet" in ipaq("add", index, "x.npy", "--ids", "ids.npy", code=2)
    assert index.read_bytes() == before


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_search_writes_what_the_library_finds(home, index, suffix):
    scores, ids = iq.load(index).search(Q, 3)
    account = told("search", index, "q.fvecs", "-k", 3, "-o", f"found{suffix}")
    assert (account["queries"], account["k"], account["output"]) == (40, 3, f"found{suffix}")
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load("found.npy")["id"], ids)
        np.testing.assert_array_equal(np.load("found.npy")["score"], scores)
    elif suffix == ".csv":
        found = np.loadtxt("found.csv", delimiter=",", skiprows=1)
        np.testing.assert_array_equal(found[:, 2].reshape(40, 3), ids)
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table("found.parquet").to_pydict()
        np.testing.assert_array_equal(np.reshape(rows["id"], (40, 3)), ids)


def test_search_prints(home, index):
    scores, ids = iq.load(index).search(Q, 2)
    head, *lines = ipaq("search", index, "q.npy", "-k", 2).splitlines()
    assert head.split() == ["query", "rank", "id", "score"]
    assert [int(line.split()[2]) for line in lines] == ids.ravel().tolist()
    account = told("search", index, "q.npy", "-k", 2)
    assert account["ids"] == ids.tolist()
    np.testing.assert_array_equal(np.float32(account["scores"]), scores)


def test_search_among_some(home, index):
    np.savetxt("some.txt", [3, 14, 15], fmt="%d")
    account = told("search", index, "q.npy", "-k", 5, "--filter", "some.txt")
    assert {i for row in account["ids"] for i in row} == {3, 14, 15, -1}
    assert {score for row in account["scores"] for score in row[3:]} == {None}


def test_info_reads_no_arrays(home, index):
    account = told("info", index)
    assert (account["count"], account["config"]["bits"], account["trained"]) == (500, 4, True)
    assert "section blocks" in ipaq("info", index)


def test_verify_has_an_exit_code_for_damage(home, index):
    assert told("verify", index)["bytes"] == index.stat().st_size
    data = bytearray(index.read_bytes())
    data[-200] ^= 1
    index.write_bytes(data)
    assert "a.ipaq" in ipaq("verify", index, code=1)
    ipaq("verify", "none.ipaq", code=2)


def test_evaluate_is_recall_against_exact_search(home, index):
    account = told("evaluate", index, "x.fvecs", "q.npy", "-k", 5)
    expected = brute_force.recall(iq.load(index).search(Q, 5)[1], brute_force.top_k(X, Q, 5))
    assert account["recall"] == pytest.approx(expected)
    assert account["bytes_per_vector"] == 8
    assert "expected the 500 vectors" in ipaq("evaluate", index, "q.npy", "q.npy", code=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "none.npy", "-o", "b.ipaq"], "none.npy"),
        (["build", "x.txt", "-o", "b.ipaq"], "expected a file ending in"),
        (["build", "x.npy", "-o", "a.ipaq"], "exists already"),
        (["build", "x.npy", "-o", "none/b.ipaq"], "does not exist"),
        (["build", "x.npy", "-o", "b.ipaq", "--bits", "9"], "bits: expected"),
        (["build", "x.npy", "-o", "b.ipaq", "--nlist", "many"], "nlist: expected"),
        (["build", "x.npy", "-o", "b.ipaq", "--ids", "short.txt"], "expected 500 ids"),
        (["build", "x.npy", "-o", "b.ipaq", "--ids", "words.txt"], "expected whole numbers"),
        (["add", "a.ipaq", "narrow.npy"], "expected dimension 12"),
        (["search", "a.ipaq", "narrow.npy"], "expected dimension 12"),
        (["search", "a.ipaq", "q.npy", "-o", "found.txt"], r"\.npy, \.csv or \.parquet"),
        (["search", "a.ipaq", "q.npy", "-k", "0"], "k: expected"),
        (["search", "x.npy", "q.npy"], "x.npy"),
        (["search", "a.ipaq", "nan.npy"], r"nan\.npy: q: expected finite .* row 3, column 2"),
        (["build", "nan.npy", "-o", "b.ipaq"], r"nan\.npy: x: expected finite .* row 3, column 2"),
        (["build", "x.npy", "-o", "b.ipaq", "--rounding", "up"], "rounding: expected"),
        (["bench", "none.toml"], ""),
        (["datasets", "nothing"], "expected one of glove-50"),
    ],
)
def test_mistakes_are_one_line_and_code_2(home, index, words, message):
    np.save("narrow.npy", X[:, :5])
    np.save("nan.npy", np.where(np.arange(6000).reshape(500, 12) == 38, np.nan, X))
    Path("short.txt").write_text("1\n2\n")
    Path("words.txt").write_text("a\n" * 500)
    Path("x.txt").write_text("")
    before = index.read_bytes()
    error = ipaq(*words, code=2)
    if message:
        assert len(error.splitlines()) == 1
        assert re.search(message, error)
    assert index.read_bytes() == before
    assert not Path("b.ipaq").exists()


def test_force_replaces(home, index):
    told("build", "x.npy", "-o", index, "--bits", 2, "--force")
    assert iq.load(index).bytes_per_vector == 5


def test_datasets_are_listed():
    account = told("datasets")
    assert "400,000 x 50" in account["glove-50"]
    assert "hdf5" in account["llama-128-ip"]


def test_bench_runs_an_experiment(home):
    Path("t.toml").write_text(
        'title = "t"\ndataset = "files:train=x.npy,test=q.npy"\nsystems = ["faiss:Flat"]\nrounds = 3\nseconds = 0.1\n'
    )
    ipaq("bench", "t.toml", "--out", "out")
    assert Path("out/t/page.html").exists()


def test_a_bad_row_is_named_wherever_it_is(home, index, monkeypatch):
    """Rows are read in blocks; the message tells where the block begins, and nothing is added."""
    monkeypatch.setattr(commands, "BLOCK_ROWS", 100)
    before = index.read_bytes()
    np.save("late.npy", np.where(np.arange(6000).reshape(500, 12) == 12 * 230, np.inf, X))
    assert "late.npy, rows from 200: x: expected finite" in ipaq("add", index, "late.npy", code=2)
    assert index.read_bytes() == before


def test_auto_lists_are_for_all_vectors(home, monkeypatch):
    """A table that is not one array is trained on a sample, which may be too small to want lists."""
    monkeypatch.setattr(commands, "TRAIN_ROWS", 300)
    monkeypatch.setattr(commands, "auto_nlist", lambda n: n // 100)
    told("build", "x.parquet", "-o", "lists.ipaq", "--nlist", "auto", "--encoding", "scalar")
    assert iq.load("lists.ipaq").nlist == 5


def test_a_reader_that_goes_away_is_no_mistake(home, index):
    many = home / "many.npy"
    np.save(many, np.tile(Q, (500, 1)))
    run = subprocess.Popen(
        [sys.executable, "-m", "ipaq_index", "search", index, many], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.stdout.readline().startswith(b"query")
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait(60) == 141


def test_progress_on_a_terminal(home):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-m", "ipaq_index", "build", "x.fvecs", "-o", "p.ipaq", "--json"], stdout=subprocess.PIPE,
        stderr=theirs, env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}, check=True,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "training" in shown
    assert json.loads(run.stdout)["ntotal"] == 500


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_the_shell(shell):
    completion = import_module("typer.completion")
    assert "ipaq" in completion.get_completion_script(prog_name="ipaq", complete_var="_IPAQ_COMPLETE", shell=shell)
    words = {"COMP_WORDS": "ipaq build --me", "COMP_CWORD": "2", "_IPAQ_COMPLETE": "complete_bash"}
    if shell == "bash":
        assert "--metric" in CliRunner().invoke(app, [], prog_name="ipaq", env=words).stdout


def test_version():
    assert ipaq("--version").strip() == f"ipaq {iq.__version__}"


def test_warmup():
    assert told("warmup")["seconds"] > 0


def test_as_a_module_and_without_words():
    run = subprocess.run([sys.executable, "-m", "ipaq_index"], capture_output=True, text=True, cwd=ROOT)
    for command in ("build", "add", "search", "info", "verify", "evaluate", "bench", "datasets", "warmup"):
        assert command in run.stdout
    assert (ROOT / "pyproject.toml").read_text().count('ipaq = "ipaq_index.cli:main"') == 1
