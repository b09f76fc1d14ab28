"""Which earlier contents of an index are still being read."""

import weakref
from typing import Any


class Versions:
    """Keeps writers from overwriting what a running search sees, without locks.

    A search holds the content it began with, which never changes; a writer publishes another. Rows in use in one
    content may be free in the next, and then filled anew, in the same arrays. Before that the writer asks `in_sight`,
    and works on copies of the arrays if a content from before the rows were freed is still held by someone. Contents
    are watched by weak references, so a search that dies halfway leaves nothing behind.
    """

    def __init__(self) -> None:
        self._earlier: list[weakref.ref[Any]] = []
        self._seeing: list[weakref.ref[Any]] = []

    def retire(self, content: Any, freed: bool) -> None:
        """Note that another content takes the place of this one; ``freed`` if rows in use here are free there."""
        self._earlier = [ref for ref in self._earlier if ref() is not None]
        self._earlier.append(weakref.ref(content))
        if freed:
            self._seeing = list(self._earlier)

    def in_sight(self) -> bool:
        """Return whether someone holds a content in which rows freed since are in use."""
        self._seeing = [ref for ref in self._seeing if ref() is not None]
        return bool(self._seeing)

    def copied(self) -> None:
        """Note that the next content has arrays of its own."""
        self._seeing = []
