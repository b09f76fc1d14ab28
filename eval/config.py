"""An experiment as its TOML file tells it."""

import itertools
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataChoice:
    """One data set of an experiment: its name (see `eval.datasets.load`) and how many of its vectors."""

    name: str
    vectors: int | None = None


@dataclass(frozen=True)
class SystemChoice:
    """One system of an experiment.

    Attributes
    ----------
    system : str
        Its text; see `eval.systems.make`.
    search : dict of lists
        The values its search parameters take, each with each.
    only : list of str
        The data sets on which it takes part; all, if empty.
    """

    system: str
    search: dict[str, list[Any]] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)

    def points(self) -> list[dict[str, Any]]:
        """Return every combination of search parameters; one empty combination where there are none."""
        return [dict(zip(self.search, values, strict=True)) for values in itertools.product(*self.search.values())]


@dataclass(frozen=True)
class Experiment:
    """What to measure, on what, how often.

    Attributes
    ----------
    title : str
        Heading of table and plots.
    datasets : list of DataChoice
        In the file: ``dataset = "NAME"``, or ``datasets = ["NAME", {name = "NAME", vectors = N}]``.
    systems : list of SystemChoice
        In the file: ``"TEXT"`` or ``{system = "TEXT", search = {nprobe = [1, 4]}, only = ["NAME"]}``.
    queries : int
        Queries asked, at most.
    vectors : int or None
        Vectors indexed, at most; None for all. A data set's own number takes its place.
    threads : int
        Threads of search.
    rounds : int
        Timed rounds at most.
    seconds : float
        Time a system may take at one point for its timed rounds; three are run in any case.
    single_queries : int
        Queries asked one at a time in each round.
    together : int
        Systems held in memory, and timed in turns, at once.
    seed : int
        Of the split and of ipaq_index.
    """

    title: str
    datasets: list[DataChoice]
    systems: list[SystemChoice]
    queries: int = 1000
    vectors: int | None = None
    threads: int = 1
    rounds: int = 7
    seconds: float = 6.0
    single_queries: int = 200
    together: int = 24
    seed: int = 0


_COUNTS = ("queries", "vectors", "threads", "rounds", "single_queries", "together")


def load(path: Path, fast: bool = False) -> Experiment:
    """Read an experiment; with ``fast``, the values of its table [fast] take the place of the others.

    Raises
    ------
    ValueError
        If a key is unknown, missing or of the wrong kind; the message names the file and the key.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from error
    quick = values.pop("fast", {})
    if fast and isinstance(quick, dict):
        values |= quick
    try:
        return parse(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse(values: dict[str, Any]) -> Experiment:
    """Check the values of an experiment file; errors as in `load`, without the file's name."""
    known = [f.name for f in fields(Experiment)]
    values = dict(values)
    if "dataset" in values:
        if "datasets" in values:
            raise ValueError("dataset, datasets: expected one of the two, got both")
        values["datasets"] = [_text("dataset", values.pop("dataset"))]
    for key in values:
        if key not in known:
            raise ValueError(f"unknown key {key!r}; known are dataset, {', '.join(known)} and the table [fast]")
    for key in ("title", "datasets", "systems"):
        if key not in values:
            raise ValueError(f"missing key {'dataset' if key == 'datasets' else key!r}")
    checked: dict[str, Any] = {
        "title": _text("title", values.pop("title")),
        "datasets": [_data_choice(entry) for entry in _entries("datasets", values.pop("datasets"))],
        "systems": [_system_choice(entry) for entry in _entries("systems", values.pop("systems"))],
    }
    for key, value in values.items():
        checked[key] = _count(key, value, least=key in _COUNTS) if key != "seconds" else _seconds(value)
    return Experiment(**checked)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: expected text, got {value!r}")
    return value


def _entries(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{key}: expected a list with at least one entry, got {value!r}")
    return value


def _count(key: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key}: expected a whole number of at least {int(least)}, got {value!r}")
    return value


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ValueError(f"seconds: expected a number of at least 0, got {value!r}")
    return float(value)


def _table(key: str, entry: Any, first: str, *others: str) -> dict[str, Any]:
    """Return an entry, which is text or a table, as a table; the text stands for its key ``first``."""
    table = {first: entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or first not in table:
        raise ValueError(f"{key}: expected text or a table with the key {first!r}, got {entry!r}")
    for name in table:
        if name not in (first, *others):
            raise ValueError(f"{key}: unknown key {name!r}; known are {', '.join((first, *others))}")
    _text(f"{key}.{first}", table[first])
    return table


def _data_choice(entry: Any) -> DataChoice:
    table = _table("datasets", entry, "name", "vectors")
    if "vectors" in table:
        _count("datasets.vectors", table["vectors"])
    return DataChoice(**table)


def _system_choice(entry: Any) -> SystemChoice:
    table = _table("systems", entry, "system", "search", "only")
    search = table.get("search", {})
    if not isinstance(search, dict):
        raise ValueError(f"systems.search: expected a table of lists, got {search!r}")
    for name, values in search.items():
        _entries(f"systems.search.{name}", values)
    for name in _entries("systems.only", table["only"]) if "only" in table else []:
        _text("systems.only", name)
    return SystemChoice(**table)
