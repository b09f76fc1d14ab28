"""From the text of an experiment to a system."""

import math
import re
from collections.abc import Callable
from typing import Any

from eval.systems.faiss_index import Faiss
from eval.systems.ipaq import Ipaq
from eval.systems.peers import Rabitqlib, Scann, Turbovec, Usearch
from eval.systems.system import System

_PEERS: dict[str, Callable[..., System]] = {
    "scann": Scann,
    "turbovec": Turbovec,
    "rabitqlib": Rabitqlib,
    "usearch": Usearch,
}


def make(text: str, seed: int, shape: tuple[int, ...] = (1_000_000, 128)) -> System:
    """Return the system that ``text`` of an experiment names.

    Parameters
    ----------
    text : str
        ``ipaq:NAME=VALUE,…`` (arguments of `ipaq_index.Index`), ``faiss:FACTORY`` (an index_factory string), or
        ``scann:``, ``turbovec:``, ``rabitqlib:``, ``usearch:`` with arguments of `eval.systems.peers`. In it ``{d}``,
        ``{d/2}``, ``{d/4}``, ``{d/8}`` stand for parts of the dimension, and ``{nlist}`` for the power of two nearest
        4·√n.
    seed : int
        Passed on to ipaq.
    shape : (n, d)
        Of the vectors.

    Raises
    ------
    ValueError
        If it begins with none of these, or its arguments are not of the form above.
    """
    kind, colon, rest = _filled(text, shape).partition(":")
    if colon and kind == "ipaq":
        return Ipaq(_arguments(kind, rest), seed)
    if colon and kind == "faiss":
        return Faiss(rest)
    if colon and kind in _PEERS:
        arguments = _arguments(kind, rest)
        try:
            return _PEERS[kind](**arguments)
        except TypeError as error:
            raise ValueError(f"systems: {kind}: {error}") from error
    raise ValueError(
        f"systems: expected 'ipaq:NAME=VALUE,…', 'faiss:FACTORY' or one of {', '.join(_PEERS)}, got {text!r}"
    )


def name_at(system: System, point: dict[str, Any]) -> str:
    """Return the system's name with the search parameters it is asked at."""
    return " ".join([system.name, *(f"{key}={value}" for key, value in point.items())])


def _filled(text: str, shape: tuple[int, ...]) -> str:
    n, dim = shape
    values = {f"{{d/{part}}}": dim // part for part in (2, 4, 8)} | {
        "{d}": dim,
        "{nlist}": 2 ** round(math.log2(max(4 * math.sqrt(n), 1))),
    }
    for name, value in values.items():
        text = text.replace(name, str(value))
    if left := re.search(r"\{.*?\}", text):
        raise ValueError(f"systems: expected {', '.join(values)}, got {left[0]!r}")
    return text


def _arguments(kind: str, text: str) -> dict[str, Any]:
    found = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not part:
            continue
        if not equals:
            raise ValueError(f"systems: expected NAME=VALUE after '{kind}:', got {part!r}")
        found[name] = _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
