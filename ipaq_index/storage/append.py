"""Bringing a file up to date by appending what has changed."""

import json
import os
from pathlib import Path

import numpy as np

from ipaq_index.index import Index
from ipaq_index.storage import disk
from ipaq_index.storage.contents import Contents
from ipaq_index.storage.errors import IndexFileError
from ipaq_index.storage.file import check_index
from ipaq_index.storage.journal import Journal, changes, recall, remember, traces_in, traces_of
from ipaq_index.storage.segment import MAX_HEADER
from ipaq_index.storage.writer import Layout, tables, write_record

WASTE = 1 << 20  # bytes of replaced data that are never worth writing a file anew for
MAX_COMMITS = 1_000  # each costs a header to read when the file is opened


def sync(index: Index, path: str | os.PathLike[str], *, compact: bool | None = None) -> int:
    """Bring the file up to date with the index, writing only what has changed since it was last saved or synced.

    Changes are appended and then committed in one step. A crash at any moment leaves the file as of this commit or of
    the one before, never in between. `load` reads the result like any other file.

    Parameters
    ----------
    index : Index
        The index; `add` and `remove` wait meanwhile, searches do not.
    path : path-like
        The file. If there is none, or this index has neither written nor loaded it, it is written whole, as by `save`.
    compact : bool, optional
        Whether to write the file anew without what later commits have replaced. If not given, that is done when more
        than half of it is such, or after 1,000 commits.

    Returns
    -------
    int
        Bytes written; 0 if nothing has changed.

    Raises
    ------
    IndexFileError
        If the file has been changed by somebody else since this index last saw it (nothing is overwritten: `load` it to
        have those changes, or `save` to replace them), or is damaged.
    OSError
        If the file cannot be written. It then holds what it held before.
    """
    check_index(index)
    target = Path(path).resolve()
    with index._writer:
        known = recall(index, target)
        if known is not None:
            try:
                with disk.opened(target) as handle:
                    return _update(index, target, handle, known, compact)
            except FileNotFoundError:
                pass
        return _write_whole(index, target, None)


def _write_whole(index: Index, target: Path, known: Journal | None) -> int:
    state = index.__getstate__()
    found = tables(state.pop("arrays", {}))
    layout = Layout(state, found)
    done = Journal(layout.record.last, traces_of(found))
    if known is not None:
        remember(index, target, Journal(known.last, known.traces, pending=done))
    with disk.replacement(target) as handle:
        layout.write(handle)
    remember(index, target, done)
    return layout.end


def _update(index: Index, target: Path, handle: int, known: Journal, compact: bool | None) -> int:
    length = os.fstat(handle).st_size
    mapped = np.memmap(target, dtype=np.uint8, mode="r") if length else np.empty(0, dtype=np.uint8)
    contents = Contents(np.asarray(mapped))
    journal = known.as_of(contents.last)
    if journal is None:
        raise IndexFileError(
            f"{target.name}: changed by somebody else since this index last saw it; load it to have those changes, "
            "or save the index to replace them"
        )
    if contents.version == 1 or compact:
        return _write_whole(index, target, journal)
    old = traces_in(contents) if journal.traces is None else journal.traces
    state = index.__getstate__()
    found = tables(state.pop("arrays", {}))
    new = traces_of(found)
    ranges = {name: changes(table, new[name], old.get(name)) for name, table in found.items()}
    forms = {name: (table.dtype, table.shape) for name, table in found.items()}
    before = {name: (section.dtype, section.shape) for name, section in contents.sections.items()}
    if not any(ranges.values()) and (forms, json.loads(json.dumps(state))) == (before, contents.state):
        remember(index, target, Journal(contents.last, old))
        return 0
    layout = Layout(state, found, ranges, offset=contents.end, link=contents.last)
    needed = sum(table.raw.size for table in found.values())
    wasted = layout.end - needed > needed + WASTE or len(contents.segments) > MAX_COMMITS
    if layout.header_length > MAX_HEADER or (compact is None and wasted):
        return _write_whole(index, target, journal)
    done = Journal(layout.record.last, new)
    remember(index, target, Journal(journal.last, old, pending=done))
    try:
        layout.write(handle)
        disk.truncate(handle, layout.end)  # what an interrupted sync has left may be longer
        disk.flush(handle)
    except BaseException:
        disk.truncate(handle, contents.end)
        raise
    write_record(handle, layout.record)
    disk.flush(handle)
    remember(index, target, done)
    return layout.end - contents.end
