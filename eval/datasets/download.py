"""Fetching a file once: with progress, going on where an earlier try stopped, checked against its checksum."""

import hashlib
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


class DownloadError(OSError):
    """A file could not be fetched; the message says from where, why, and where to put it by hand."""


def fetch(url: str, target: Path, sha256: str = "", progress: Progress = lambda done, total: None) -> Path:
    """Return ``target``, downloading it first if it is not there.

    Parts are kept as ``NAME.part`` and continued. The checksum is ``sha256``, else the one the server names (the hub
    does); it is written beside the file as ``NAME.sha256``, for `verify`.

    Parameters
    ----------
    url : str
        Where the file is.
    target : Path
        Where it is to be; the folder is made.
    sha256 : str
        Expected checksum in hexadecimal; empty if not known.
    progress : callable
        Called with bytes so far and bytes in all.

    Raises
    ------
    DownloadError
        If it is not there and cannot be fetched, is shorter than the server said, or its checksum differs.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        named = _transfer(url, part, progress)
    except (OSError, ValueError) as error:
        kept = f" ({part.stat().st_size:,} bytes are kept in {part} for the next try)" if part.exists() else ""
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{target} is missing and could not be downloaded: {reason}{kept}. Put the file there by hand; it comes "
            f"from {url}"
        ) from error
    expected, found = sha256 or named, _sha256(part)
    if expected and expected != found:
        part.unlink()
        raise DownloadError(f"{url}: expected SHA-256 {expected}, got {found}; the download was thrown away")
    target.with_name(target.name + ".sha256").write_text(f"{found}  {target.name}\n")
    os.replace(part, target)
    return target


def verify(target: Path) -> None:
    """Check a file against the checksum that `fetch` wrote beside it, where there is one.

    Raises
    ------
    DownloadError
        If they differ.
    """
    record = target.with_name(target.name + ".sha256")
    if record.exists():
        expected, found = record.read_text().split()[0], _sha256(target)
        if expected != found:
            raise DownloadError(f"{target}: expected SHA-256 {expected} (from {record}), got {found}")


def _transfer(url: str, part: Path, progress: Progress) -> str:
    """Write what is missing of ``part``; return the SHA-256 the server names, or an empty string."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the range is empty: everything is there
            raise
        return _named(error.headers)
    with response:
        resumed = getattr(response, "status", None) == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total and shutil.disk_usage(part.parent).free < total - have:
            raise OSError(f"needs {total - have:,} bytes, more than is free in {part.parent}")
        with open(part, "ab" if resumed else "wb") as out:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                have += len(chunk)
                progress(have, total)
        if total is not None and have != total:
            raise OSError(f"the connection ended after {have:,} of {total:,} bytes")
        return _named(response.headers)


def _named(headers: object) -> str:
    tag = getattr(headers, "get", lambda _: None)("X-Linked-ETag") or ""
    found = re.fullmatch(r'"?([0-9a-f]{64})"?', tag)
    return found[1] if found else ""


def _sha256(file: Path) -> str:
    with open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
