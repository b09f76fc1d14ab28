"""Experiments are read whole or refused with the key's name."""

from pathlib import Path

import pytest

from eval import config, systems

CONFIGS = Path(__file__).parent.parent.parent / "configs"
LEAST = 'title = "t"\ndataset = "d"\nsystems = ["faiss:Flat"]\n'


def test_quickstart_reads_and_its_systems_exist():
    experiment = config.load(CONFIGS / "quickstart.toml")
    fast = config.load(CONFIGS / "quickstart.toml", fast=True)
    assert experiment.vectors is None
    assert fast.vectors == 50_000
    assert fast.systems == experiment.systems
    names = [systems.make(text, seed=0).name for text in experiment.systems]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        (LEAST + "quries = 5", "unknown key 'quries'"),
        (LEAST + "queries = 0", "queries: expected"),
        (LEAST + "queries = true", "queries: expected"),
        (LEAST + 'rounds = "3"', "rounds: expected"),
        (LEAST + "seconds = -1.0", "seconds: expected"),
        (LEAST.replace('["faiss:Flat"]', '"faiss:Flat"'), "systems: expected"),
        (LEAST.replace('["faiss:Flat"]', "[]"), "systems: expected"),
        ('dataset = "d"\nsystems = ["faiss:Flat"]', "missing key 'title'"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        config.load(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("text", ["scann:1", "Flat", "ipaq:bits"])
def test_unknown_systems_are_refused(text):
    with pytest.raises(ValueError, match="systems: expected"):
        systems.make(text, seed=0)
