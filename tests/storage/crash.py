"""A disk that crashes: records what `ipaq_index.storage.disk` does, and tells what a medium may hold after a crash.

What was flushed is there. Of what was not, any part may be: each sector of 512 bytes is new, old or torn (a mixture,
byte by byte), whatever the order of writing; the length is anything from the old to the new one; a truncation or a
rename has happened or not.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ipaq_index.storage import disk

SECTOR = 512


@dataclass
class Event:
    """One call: "write", "truncate", "flush", "replace", "flush_directory" or "done" (the test's own mark)."""

    kind: str
    file: int = -1
    offset: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    """Records the calls while they are made; files are numbered as they come."""

    directory: Path
    target: str
    events: list[Event] = field(default_factory=list)
    _files: dict[int, int] = field(default_factory=dict)
    _held: list[int] = field(default_factory=list)

    def install(self, monkeypatch) -> "Recorder":
        true = {name: getattr(disk, name) for name in ("write", "flush", "truncate", "replace", "flush_directory")}

        def write(handle, data, offset):
            self.events.append(Event("write", self._number(handle), offset, bytes(data)))
            true["write"](handle, data, offset)

        def flush(handle):
            self.events.append(Event("flush", self._number(handle)))
            true["flush"](handle)

        def truncate(handle, length):
            self.events.append(Event("truncate", self._number(handle), length))
            true["truncate"](handle, length)

        def replace(source, target):
            handle = os.open(source, os.O_RDONLY)
            self.events.append(Event("replace", self._number(handle)))
            os.close(handle)
            true["replace"](source, target)

        def flush_directory(directory):
            self.events.append(Event("flush_directory"))
            true["flush_directory"](directory)

        for name, made in {k: v for k, v in locals().items() if k in true}.items():
            monkeypatch.setattr(disk, name, made)
        return self

    def done(self) -> None:
        """Mark that a call of the package has returned."""
        self.events.append(Event("done"))

    def _number(self, handle: int) -> int:
        inode = os.fstat(handle).st_ino
        if inode not in self._files:
            # An inode in use gets no second life. Not os.dup: a duplicate would share, and keep, the lock.
            self._held.append(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY))
            self._files[inode] = len(self._files)
        return self._files[inode]

    def close(self) -> None:
        for handle in self._held:
            os.close(handle)


def applied(content: bytes, event: Event) -> bytes:
    """Return a file's bytes after an event."""
    if event.kind == "truncate":
        return content[: event.offset].ljust(event.offset, b"\0")
    end = event.offset + len(event.data)
    return content[: event.offset].ljust(event.offset, b"\0") + event.data + content[end:]


def states(events: list[Event], rng: np.random.Generator, samples: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield ``(calls returned before, bytes or None)``: what the target may hold after a crash behind ``events``."""
    durable: dict[int, bytes] = {}
    pending: dict[int, list[Event]] = {}
    names: list[int | None] = [None]  # the file that has the target's name: durably, then after each unflushed rename
    done = 0
    for event in events:
        if event.kind in ("write", "truncate"):
            pending.setdefault(event.file, []).append(event)
        elif event.kind == "flush":
            for late in pending.pop(event.file, []):
                durable[event.file] = applied(durable.get(event.file, b""), late)
        elif event.kind == "replace":
            names.append(event.file)
        elif event.kind == "flush_directory":
            names = names[-1:]
        else:
            done += 1
    for file in names:
        if file is None:
            yield done, None
            continue
        old, late = durable.get(file, b""), pending.get(file, [])
        yield done, old
        if late:
            for content in mixtures(old, late, rng, samples):
                yield done, content


def mixtures(old: bytes, late: list[Event], rng: np.random.Generator, samples: int) -> Iterator[bytes]:
    """Yield what may be on the medium of the unflushed events: all, each sector alone, all but one, random and torn."""
    parts = [part for event in late for part in _sectors(event)]
    everything = range(len(parts))
    yield _built(old, parts, set(everything), set(), rng)
    few = rng.permutation(len(parts))[:samples]
    for one in few:
        yield _built(old, parts, {one}, set(), rng)
        yield _built(old, parts, set(everything) - {one}, set(), rng)
        yield _built(old, parts, set(everything), {one}, rng)
        yield _built(old, parts, {one}, {one}, rng)
    for _ in range(samples):
        chosen = {i for i in everything if rng.random() < 0.5}
        built = _built(old, parts, chosen, {i for i in chosen if rng.random() < 0.2}, rng)
        yield built
        if len(built) > len(old):
            yield built[: rng.integers(len(old), len(built) + 1)]
        yield built.ljust(len(built) + int(rng.integers(2000)), b"\0")


def prefixes(old: bytes, event: Event) -> Iterator[bytes]:
    """Yield the file with each beginning of one write."""
    for length in range(len(event.data) + 1):
        yield applied(old, Event("write", event.file, event.offset, event.data[:length]))


def _sectors(event: Event) -> Iterator[Event]:
    if event.kind == "truncate":
        yield event
        return
    first = event.offset
    while first < event.offset + len(event.data):
        last = min((first // SECTOR + 1) * SECTOR, event.offset + len(event.data))
        yield Event("write", event.file, first, event.data[first - event.offset : last - event.offset])
        first = last


def _built(old: bytes, parts: list[Event], chosen: set[int], torn: set[int], rng: np.random.Generator) -> bytes:
    content = old
    for i, part in enumerate(parts):
        if i in chosen:
            if i in torn and part.kind == "write":
                here = content[part.offset : part.offset + len(part.data)].ljust(len(part.data), b"\0")
                new = rng.random(len(part.data)) < 0.5
                mixed = np.where(new, np.frombuffer(part.data, np.uint8), np.frombuffer(here, np.uint8))
                part = Event("write", part.file, part.offset, mixed.tobytes())
            content = applied(content, part)
    return content
