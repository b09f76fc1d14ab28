"""API keys: read from a file, compared in constant time."""

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

LEAST_LENGTH = 16  # characters; `openssl rand -hex 32` gives 64


class KeyRing:
    """The keys that a service accepts. Only their digests are kept.

    Parameters
    ----------
    keys : iterable of str
        One key or more, each of 16 characters at least: printable ASCII without spaces.

    Raises
    ------
    ValueError
        If there is none or one is too short; the message does not show it.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        digests = []
        for number, key in enumerate(keys, start=1):
            if len(key) < LEAST_LENGTH or not all("!" <= character <= "~" for character in key):
                raise ValueError(
                    f"api keys: key {number}: expected {LEAST_LENGTH} or more printable ASCII characters without spaces"
                )
            digests.append(_digest(key.encode("ascii")))
        if not digests:
            raise ValueError("api keys: expected at least one, got none")
        self._digests = digests

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "KeyRing":
        """Read a file with one key a line; empty lines and lines that begin with # say nothing."""
        lines = (line.strip() for line in Path(path).read_text(encoding="ascii").splitlines())
        try:
            return cls(line for line in lines if line and not line.startswith("#"))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    def accepts(self, given: bytes) -> bool:
        """Return whether ``given`` is one of the keys, in a time that does not depend on how much of one it is."""
        digest = _digest(given)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]  # every key, whichever matches
        return any(matches)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
