"""Experiments are read whole or refused with the key's name."""

from pathlib import Path

import pytest

from eval import config, systems
from eval.datasets import ENTRIES

CONFIGS = Path(__file__).parent.parent.parent / "configs"
LEAST = 'title = "t"\ndataset = "d"\nsystems = ["faiss:Flat"]\n'


@pytest.mark.parametrize(("name", "fewer"), [("quickstart", 50_000), ("standard", None), ("peers", None)])
def test_configs_read_and_their_systems_exist(name, fewer):
    experiment = config.load(CONFIGS / f"{name}.toml")
    fast = config.load(CONFIGS / f"{name}.toml", fast=True)
    assert experiment.vectors is None
    assert fast.vectors == fewer
    assert fast.systems == experiment.systems
    assert {choice.name for choice in experiment.datasets} <= ENTRIES.keys()
    names = [systems.make(choice.system, seed=0, shape=(1000, 96)).name for choice in experiment.systems]
    assert len(set(names)) == len(names)
    assert {only for choice in experiment.systems for only in choice.only} <= {d.name for d in experiment.datasets}


def test_entries_are_text_or_tables():
    experiment = config.parse(
        {
            "title": "t",
            "datasets": ["a", {"name": "b", "vectors": 5}],
            "systems": ["faiss:Flat", {"system": "faiss:IVF4,Flat", "search": {"nprobe": [1, 2], "x": [3]}}],
        }
    )
    assert experiment.datasets == [config.DataChoice("a"), config.DataChoice("b", 5)]
    assert experiment.systems[0].points() == [{}]
    assert experiment.systems[1].points() == [{"nprobe": 1, "x": 3}, {"nprobe": 2, "x": 3}]


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
        ('title = "t"\nsystems = ["faiss:Flat"]', "missing key 'dataset'"),
        (LEAST + 'datasets = ["e"]', "dataset, datasets: expected one of the two"),
        (LEAST.replace('"faiss:Flat"', "{search = {a = [1]}}"), "table with the key 'system'"),
        (LEAST.replace('"faiss:Flat"', '{system = "faiss:Flat", serch = {}}'), "systems: unknown key 'serch'"),
        (LEAST.replace('"faiss:Flat"', '{system = "faiss:Flat", search = {a = 1}}'), r"systems\.search\.a: expected"),
        (LEAST.replace('"faiss:Flat"', '{system = "faiss:Flat", only = []}'), r"systems\.only: expected"),
        (LEAST.replace('dataset = "d"', 'datasets = [{name = "d", vectors = 0}]'), r"datasets\.vectors: expected"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        config.load(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("text", ["scann:1", "Flat", "ipaq:bits", "other:x=1", "faiss:PQ{e}", "usearch:nothing=1"])
def test_unknown_systems_are_refused(text):
    with pytest.raises(ValueError, match="systems: "):
        systems.make(text, seed=0)
