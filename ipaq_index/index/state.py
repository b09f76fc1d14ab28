"""An index as parameters and arrays, and back: what files and pickles hold."""

from dataclasses import replace
from typing import Any

import numpy as np

from ipaq_index.index.config import IndexConfig
from ipaq_index.index.content import Content
from ipaq_index.index.ids import IdMap
from ipaq_index.index.partition import Partition
from ipaq_index.index.refine import FineCodec
from ipaq_index.index.rows import rows_a_place
from ipaq_index.index.runs import Runs
from ipaq_index.index.training import quantizer_spec
from ipaq_index.index.validation import as_count
from ipaq_index.quantizer import Quantizer
from ipaq_index.scan import BLOCK
from ipaq_index.scan.layout import VERSION

# Prefixes of their arrays among the index's. The last two: of finer vectors, which all files had until November 2026,
# and of what codes leave of vectors. A reader of before misses the former, and does not take the latter for vectors.
QUANTIZER, PARTITION, FINE, RESIDUAL = "quantizer.", "partition.", "fine.", "residual."
LIMIT = 1 << 40  # no number of a run is larger: their sums do not overflow
RUNS = ("start", "room", "count")


def describe(content: Content) -> dict[str, Any]:
    """Return JSON-able values and, under "arrays", arrays.

    Arrays of rows are as they lie in memory, the spare room at their end left out: what changes little between two
    saves changes little in the file, and a file that is mapped is used as it is.
    """
    meta, arrays = content.quantizer.to_arrays()
    runs = _without_spare_room(content.runs)
    sections = {QUANTIZER + name: array for name, array in arrays.items()}
    if content.partition is not None:
        sections |= {PARTITION + name: array for name, array in content.partition.to_arrays().items()}
    codec = content.rows.codec
    if codec is not None:
        prefix = RESIDUAL if codec.residual else FINE
        sections |= {prefix + "low": codec.low, prefix + "step": codec.step}
    sections |= {"runs." + name: getattr(runs, name) for name in RUNS}
    if runs.holes:  # else the rows in use are the first of each run
        sections["runs.words"] = runs.words
    for name, array in (content.rows.arrays() | content.ids.arrays()).items():
        if name != "rest" or array.shape[1]:  # codes of one part have no second
            sections[name] = array[: runs.blocks * rows_a_place(name)]
    return {
        "quantizer": meta,
        "nlist": None if content.partition is None else content.partition.nlist,
        "count": content.total,
        "next_id": content.ids.next_id,
        "clock": content.ids.clock,
        "encoded": content.encoded,
        "layout": VERSION,
        "arrays": sections,
    }


def restored(config: IndexConfig, state: dict[str, Any]) -> Content:
    """Make the content that `describe` told of; nothing in it is trusted.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing or does not fit.
    """
    arrays = state["arrays"]
    quantizer = Quantizer.from_arrays(state["quantizer"], _under(QUANTIZER, arrays))
    if quantizer.spec != quantizer_spec(config):
        raise ValueError(f"quantizer: made for {quantizer.spec}, expected {quantizer_spec(config)}")
    partition = None
    if state["nlist"] is not None:
        nlist = as_count(state["nlist"], "nlist")
        partition = Partition.from_arrays(_under(PARTITION, arrays), nlist, config.dim)
    content = Content.empty(quantizer, partition, config.metric == "l2", _fine(config, arrays))
    count, next_id, clock, encoded = (
        as_count(state[name], name, least=0) for name in ("count", "next_id", "clock", "encoded")
    )
    if next_id > 1 << 63 or clock > 1 << 61 or encoded > 1 << 61:
        raise ValueError(f"next_id, clock, encoded: expected numbers in int64, got {next_id}, {clock}, {encoded}")
    if "blocks" not in arrays or not arrays["blocks"].ndim:
        raise ValueError("section 'blocks': expected codes, got nothing")
    runs = _runs(_under("runs.", arrays), content.nlist, count, len(arrays["blocks"]))
    version = state.get("layout", 1)
    if version not in (1, VERSION):
        raise ValueError(f"layout: expected 1 or {VERSION}, got {version!r}; a newer ipaq_index may have written it")
    rows = content.rows.restored(
        content.rows.from_version_1(arrays, runs.blocks) if version == 1 else arrays, runs.blocks
    )
    ids = IdMap(runs, next_id=next_id, clock=clock).restored(arrays)
    return replace(content, rows=rows, runs=runs, ids=ids, encoded=encoded)


def _without_spare_room(runs: Runs) -> Runs:
    """Return the runs with the last one cut to what it uses."""
    last = int(np.argmax(runs.start + runs.room))
    used = -(-int(runs.used[last]) // BLOCK)
    if runs.start[last] + runs.room[last] < runs.blocks or used == runs.room[last]:
        return runs
    room = runs.room.copy()
    room[last] = used
    cut = Runs(runs.start, room, runs.words[: int(runs.start[last]) + used])
    cut.count, cut.used = runs.count, runs.used
    return cut


def _runs(arrays: dict[str, np.ndarray], nlist: int, total: int, blocks: int) -> Runs:
    """Return runs that lie within ``blocks`` blocks, none reaching into another, with ``total`` rows in use."""
    for name in RUNS:
        found = arrays.get(name)
        if (
            found is None
            or found.dtype != np.int64
            or found.shape != (nlist,)
            or found.min() < 0
            or found.max() > LIMIT
        ):
            raise ValueError(f"section 'runs.{name}': expected {nlist} int64 numbers from 0 to {LIMIT}")
    start, room, count = (arrays[name] for name in RUNS)
    order = np.argsort(start, kind="stable")
    order = order[room[order] > 0]
    if ((start + room)[order] > np.append(start[order][1:], blocks)).any():
        raise ValueError(f"section 'runs.start': expected runs within {blocks} blocks, none reaching into another")
    if (count > BLOCK * room).any() or count.sum() != total:
        raise ValueError(f"section 'runs.count': expected {total} rows in use, no more in a run than it has room for")
    words = arrays.get("words")
    if words is None:
        return Runs.of_counts(start, room, count, blocks)
    if words.dtype != np.uint32 or words.shape != (blocks,):
        raise ValueError(f"section 'runs.words': expected uint32 ({blocks},), got {words.dtype} {words.shape}")
    edges = np.zeros(blocks + 1, dtype=np.int64)
    np.add.at(edges, start[order], 1)
    np.subtract.at(edges, (start + room)[order], 1)
    if words[np.cumsum(edges)[:-1] == 0].any():
        raise ValueError("section 'runs.words': expected rows in use within runs only")
    runs = Runs.of_words(start, room, words)
    if not np.array_equal(runs.count, count):
        raise ValueError("section 'runs.words': expected as many rows in use in each run as 'runs.count' tells")
    return runs


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _fine(config: IndexConfig, sections: dict[str, np.ndarray]) -> FineCodec | None:
    if config.refine is None:
        return None
    residual = config.metric != "l2" and RESIDUAL + "low" in sections
    prefix = RESIDUAL if residual else FINE
    arrays = _under(prefix, sections)
    for name in ("low", "step"):
        found = arrays.get(name)
        if found is None or found.shape != (config.dim,) or found.dtype != np.float32 or not np.isfinite(found).all():
            raise ValueError(f"section '{prefix}{name}': expected finite float32 ({config.dim},)")
    return FineCodec(config.refine, arrays["low"], arrays["step"], residual)
