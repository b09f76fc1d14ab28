"""An experiment as its TOML file tells it."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Experiment:
    """What to measure, on what, how often.

    Attributes
    ----------
    title : str
        Heading of table and plot.
    dataset : str
        Name in `eval.datasets.DATASETS`, or "hdf5:PATH" for a file in the layout of ann-benchmarks.
    systems : list of str
        "ipaq:NAME=VALUE,…" (arguments of `ipaq_index.Index`) or "faiss:FACTORY" (an index_factory string).
    queries : int
        Queries asked, at most.
    vectors : int or None
        Vectors indexed, at most; None for all.
    threads : int
        Threads of search.
    rounds : int
        Timed rounds at most.
    seconds : float
        Time a system may take for its timed rounds; three are run in any case.
    single_queries : int
        Queries asked one at a time in each round.
    seed : int
        Of the split and of ipaq_index.
    """

    title: str
    dataset: str
    systems: list[str]
    queries: int = 1000
    vectors: int | None = None
    threads: int = 1
    rounds: int = 7
    seconds: float = 6.0
    single_queries: int = 200
    seed: int = 0


def load(path: Path, fast: bool = False) -> Experiment:
    """Read an experiment; with ``fast``, the values of its table [fast] take the place of the others.

    Raises
    ------
    ValueError
        If a key is unknown, missing or of the wrong kind; the message names the file and the key.
    """
    try:
        values = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from error
    quick = values.pop("fast", {})
    if fast:
        values |= quick
    known = {field.name: field for field in fields(Experiment)}
    hints = get_type_hints(Experiment)
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{path}: unknown key {key!r}; known are {', '.join(known)} and the table [fast]")
        if not _fits(value, hints[key]):
            raise ValueError(f"{path}: {key}: expected {hints[key]}, got {value!r}")
    for key in ("title", "dataset", "systems"):
        if key not in values:
            raise ValueError(f"{path}: missing key {key!r}")
    return Experiment(**values)


def _fits(value: Any, hint: Any) -> bool:
    if hint == list[str]:
        return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
    if hint is str:
        return isinstance(value, str)
    number = int | float if hint is float else int
    return isinstance(value, number) and not isinstance(value, bool) and value >= 0 and (value > 0 or hint is not int)
