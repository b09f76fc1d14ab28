"""What files, bytes and pickles ask of an index, and what it asks of them."""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Self


class Stored:
    """Persistence of an index.

    An index has two things for it: ``__getstate__`` and ``__setstate__``, which give and take parameters and arrays,
    and the lock ``_writer``, under which nothing that ``__getstate__`` gave changes.

    What an index holds is one attribute, ``_content``. It may be announced only: a file opened with ``mmap=True`` is
    read and checked when something first asks for the content.
    """

    _writer: Any  # threading.RLock
    _held: Any = None
    _fetch: Callable[[], "Stored"] | None = None
    _announced: dict[str, Any] | None = None

    @property
    def _content(self) -> Any:
        if self._fetch is not None:
            with self._writer:
                fetch = self._fetch
                if fetch is not None:
                    self._content = fetch()._content
        return self._held

    @_content.setter
    def _content(self, content: Any) -> None:
        self._held = content
        self._fetch = self._announced = None

    def announce(self, state: dict[str, Any], fetch: Callable[[], "Stored"]) -> None:
        """Take the content from the index that ``fetch`` returns, when it is first asked for.

        Parameters
        ----------
        state : dict
            What ``__getstate__`` gave, without the arrays.
        fetch : callable
            Returns an index with the content.
        """
        self._announced, self._fetch = state, fetch

    def sync(self, path: str | os.PathLike[str]) -> int:
        """Bring a file up to date with this index, writing only what has changed since the last `sync`.

        See `ipaq_index.sync`, which this is a shorter name for.
        """
        return int(_storage().sync(self, path))

    def to_bytes(self) -> bytes:
        """Return the index as bytes: what `ipaq_index.save` writes into a file."""
        return bytes(_storage().to_bytes(self))

    @classmethod
    def from_bytes(cls, data: Any) -> Self:
        """Return the index that `to_bytes` made ``data`` (bytes, bytearray, memoryview, uint8 array) of.

        Raises
        ------
        IndexFileError
            If the bytes are damaged; the message names the part.
        """
        index: Self = _storage().from_bytes(data)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles and copies are files in memory: made under the lock, checked when read, and no second format.
        return _storage().from_bytes, (self.to_bytes(),)


def _storage() -> Any:
    """The one look upward of this room: methods that users expect on the index, and the storage room implements."""
    return import_module("ipaq_index.storage")
