"""Metadata filters: one small language that the adapters translate theirs to, and its translation to SQL.

A filter has one meaning in the framework it comes from. What SQLite can say with exactly that meaning is said in SQL;
the rest of it (`Beyond`) is left to the framework's own predicate, which then sees only the rows that SQL let through.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in", "has text", "has item", "is empty"]
INT64 = 2**63
PLAIN_KEY = re.compile(r'[^"\\\x00-\x1f]+')  # a metadata key that can stand in a JSON path between quotation marks


@dataclass(frozen=True)
class Field:
    """A metadata value (path of keys), or a column of the document: "id", "ref" or "text"."""

    path: tuple[str, ...] = ()
    column: str | None = None


@dataclass(frozen=True)
class Compare:
    """A field against a value. A missing field is like null: equal to None alone, and never above or below anything.

    "has text" looks for the value as a substring, "has item" among the items of a list and the keys of an object; "is
    empty" (no value) is true of null, "" and [].
    """

    field: Field
    operator: Operator
    value: Any = None


@dataclass(frozen=True)
class All:
    """True if every part is."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Some:
    """True if at least one part is."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    """True if the part is not."""

    part: "Node"


@dataclass(frozen=True)
class Beyond:
    """A condition that only the framework's own predicate can decide."""


Node = Compare | All | Some | Not | Beyond


@dataclass(frozen=True)
class Filter:
    """What SQL can say, and the predicate over a `documents.Record` that has the last word where SQL cannot say all."""

    node: Node
    predicate: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Where:
    """A condition of SQL with its parameters; if not ``exact``, it lets through rows that the filter may refuse."""

    sql: str
    parameters: tuple[Any, ...] = ()
    exact: bool = True


EVERYTHING = Where("1")
UNDECIDED = Where("1", exact=False)


def to_sql(node: Node) -> Where:
    """Translate a filter to SQL over the columns of the table ``documents``.

    Parameters
    ----------
    node : Node
        The filter.

    Returns
    -------
    Where
        True of every row that the filter accepts, and of no other if it is ``exact``. It is never NULL.
    """
    match node:
        case Compare():
            return _comparison(node)
        case All(parts):
            wheres = [to_sql(part) for part in parts]
            return _joined(" AND ", wheres, exact=all(w.exact for w in wheres)) if wheres else EVERYTHING
        case Some(parts):
            wheres = [to_sql(part) for part in parts]
            if not all(w.exact for w in wheres):
                return UNDECIDED
            return _joined(" OR ", wheres) if wheres else Where("0")
        case Not(part):
            where = to_sql(part)
            return Where(f"NOT ({where.sql})", where.parameters) if where.exact else UNDECIDED
    return UNDECIDED


def _joined(word: str, wheres: Sequence[Where], exact: bool = True) -> Where:
    return Where(
        "(" + word.join(w.sql for w in wheres) + ")", tuple(p for where in wheres for p in where.parameters), exact
    )


def _comparison(compare: Compare) -> Where:
    operator, value = compare.operator, compare.value
    path: tuple[str, ...] = ()
    if operator in ("!=", "not in"):
        opposite: Operator = "==" if operator == "!=" else "in"
        return to_sql(Not(Compare(compare.field, opposite, value)))
    if operator == "in":
        if not isinstance(value, list | tuple | set | frozenset):
            return UNDECIDED
        return to_sql(Some(tuple(Compare(compare.field, "==", item) for item in value)))
    if compare.field.column is not None:
        kind, content = "'text'", compare.field.column
    elif compare.field.path and all(PLAIN_KEY.fullmatch(key) for key in compare.field.path):
        kind, content = "json_type(metadata, ?)", "json_extract(metadata, ?)"
        path = ("$" + "".join(f'."{key}"' for key in compare.field.path),)
    else:
        return UNDECIDED
    if operator == "is empty" or (operator == "==" and value is None):
        # null, "" and [] leave no text; an object never counts as empty.
        sql = f"{content} IS NULL" if operator == "==" else f"ifnull({content} IN ('', '[]'), 1)"
        return Where(f"({sql})", path)
    if value is None or (operator == "has text" and not isinstance(value, str)):
        return Where("0")
    if not _is_scalar(value):
        return UNDECIDED
    # Types are compared first: an array's or object's text is not to be taken for a string, nor a string for a number.
    kinds = ("text",) if isinstance(value, str) else ("integer", "real", "true", "false")
    named = ", ".join(f"'{name}'" for name in kinds)
    if operator == "has item":
        if not path:
            return Where("0")
        # json_each makes items of scalars too, so that the field's own type is looked at first.
        items = (
            f"{kind} = 'array' AND EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE type IN ({named}) AND atom = ?)"
        )
        keys = f"{kind} = 'object' AND EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE key = ?)"
        if not isinstance(value, str):
            return Where(f"ifnull({items}, 0)", (*path, *path, value))
        return Where(f"ifnull(({items}) OR ({keys}), 0)", (*path, *path, value) * 2)
    test = f"instr({content}, ?) > 0" if operator == "has text" else f"{content} {operator} ?"
    return Where(f"(ifnull({kind} IN ({named}), 0) AND {test})", (*path, *path, value))


def _is_scalar(value: Any) -> bool:
    if isinstance(value, bool | str):
        return True
    if isinstance(value, int):
        return -INT64 <= value < INT64
    return isinstance(value, float) and math.isfinite(value)
