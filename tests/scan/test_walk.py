"""Bytes of numbers of levels, and what else look-ups may be of, against a walk step by step."""

from statistics import NormalDist

import numpy as np
import pytest

from ipaq_index import Index
from ipaq_index.quantizer.trellis import trellis
from ipaq_index.scan import Layout, isa, looked, lookup
from ipaq_index.scan.frame import fill_lookups, make_frame
from ipaq_index.scan.known import known
from ipaq_index.scan.walk import plan
from tests.compiled import compiled
from tests.scan.test_scan import candidates_of, case, run_collect

MIXED = [7, 0, 3, 2, 5, 1, 6, 1, 1, 4, 2, 1, 0, 1, 1, 2, 1]
ONE_BIT = [3] + [2] * 12 + [1] * 29


def levels_of(codebook):
    """Return the level sets that `case` makes."""
    size = len(codebook.layout.bits), 512
    return np.sort(np.random.default_rng(0).standard_normal(size), axis=1).astype(np.float32)


def walked(packed, states):
    """Return meaning where numbers of levels are looked up, and where they lie."""
    codebook = packed.codebook
    walk, numbers = plan(codebook.layout, codebook.meaning.feedback, states)
    told = known(numbers, levels_of(codebook), False, len(walk.made))
    return codebook.meaning._replace(**told._asdict(), looked=len(walk.made), walk=walk), numbers


def all_read(packed):
    """Return meaning where both parts are looked up."""
    layout, meaning = packed.codebook.layout, packed.codebook.meaning
    assert layout.first_pairs < layout.pairs
    told = known(layout, levels_of(packed.codebook), meaning.feedback[2] > 0, layout.pairs)
    return meaning._replace(**told._asdict(), looked=layout.pairs)


def coded(n, bits, states, **options):
    code = trellis(states)
    return case(n, bits, states=states, feedback=(code.feedback, code.tap), **options)


@pytest.mark.parametrize("states", [4, 8, 256])
@pytest.mark.parametrize("bits", [[1], [7], ONE_BIT, MIXED])
def test_bytes_made_are_numbers_of_levels(bits, states):
    packed, symbols, _ = coded(64, bits, states)
    meaning, numbers = walked(packed, states)
    state, next_state = packed.side[:64] % states, trellis(states).next_state
    made = np.zeros((2, meaning.looked, 32), np.uint8)
    for block in range(2):
        lookup.make(packed.rows(None), meaning, block, made[block])
    found, expected = np.zeros((2, 64, len(bits)), int)
    for j, width in enumerate(bits):
        if width:
            expected[:, j] = 2 * symbols[:, j].astype(int) + (state & 1)
            state = next_state[state, symbols[:, j] & 1]
    for j, shift, width, nibble, position in numbers.pieces:
        nibbles = (made[:, nibble // 2] >> 4 * (nibble % 2)).reshape(-1) & 15
        found[:, j] |= (nibbles >> position & (1 << width) - 1).astype(int) << shift
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize(
    ("bits", "states", "side_dtype"), [(MIXED, 8, np.uint8), (ONE_BIT, 256, np.uint16), ([5, 3, 4] * 16, 1, np.uint16)]
)
def test_look_ups_are_alike_on_every_instruction_set(name, bits, states, side_dtype):
    packed, _, _ = coded(160, bits, states, side_dtype=side_dtype) if states > 1 else case(160, bits)
    meaning = walked(packed, states)[0] if states > 1 else all_read(packed)
    p = np.random.default_rng(0).standard_normal(len(bits)).astype(np.float32)
    tables = np.zeros((meaning.looked, 2, 64), np.uint8)
    frame = make_frame(tables, 1)
    frame.start[0], step, _ = compiled(fill_lookups)(p, meaning, 3.0, 0.0, tables)
    for span in ((0, 5), (1, 5), (2, 3)):
        for floor in (-np.inf, 0):
            frame.bars[:, 0] = 1 / step, 3, max(floor, -1e30)
            frame.passing[:] = 0
            used, twin = (candidates_of(300, meaning.looked) for _ in range(2))
            found = run_collect(isa.NAMES[name], packed.rows(None), meaning, span, frame, used, 0)
            expected = lookup.collect(isa.NAMES[name], packed.rows(None), meaning, span, frame, None, twin, 0)
            assert found == expected > 0
            for one, other in zip(used[:2], twin[:2], strict=True):
                np.testing.assert_array_equal(one[:found], other[:found])


@pytest.mark.parametrize("bits", [MIXED, ONE_BIT * 3])
def test_look_ups_of_numbers_leave_little_but_roundings(bits):
    packed, _, values = coded(320, bits, 256)
    meaning, _ = walked(packed, 256)
    p = np.random.default_rng(1).standard_normal(len(bits)).astype(np.float32)
    tables = np.zeros((meaning.looked, 2, 64), np.uint8)
    frame = make_frame(tables, 1)
    frame.start[0], step, _ = fill_lookups(p, meaning, 3.0, 0.0, tables)
    frame.bars[:, 0] = 1 / step, 0, -1e30
    used = candidates_of(400, meaning.looked)
    count = lookup.collect(isa.Portable(), packed.rows(None), meaning, (0, 10), frame, None, used, 0)
    assert count == 320
    order = np.argsort(used.rows[:count])
    estimates, scores = used.keys[:count][order] * step, values @ p
    small = np.sqrt((p**2) @ meaning.variances[1] / ((p**2) @ meaning.variances[0])) * scores.std()
    error = estimates - scores
    assert error.std() < 0.1 * scores.std() + 2 * small
    assert error.min() > -0.1 * scores.std()


def normal_levels(bits, more):
    """Return level sets: quantiles of normal values."""
    levels = np.zeros((len(bits), 512), dtype=np.float32)
    for j, width in enumerate(bits):
        count = 1 << width + more
        levels[j, :count] = [NormalDist().inv_cdf((n + 0.5) / count) for n in range(count)]
    return levels


@pytest.mark.parametrize(
    ("bits", "walks", "both"),
    [
        (ONE_BIT, True, False),
        ([2] * 64, False, False),
        ([3] * 64, False, True),
        ([6, 5, 5, 4, 4, 4, 4, 4] * 4, False, False),
    ],
)
def test_what_is_looked_up(bits, walks, both):
    layout, code = Layout(np.array(bits, dtype=np.uint8)), trellis(256)
    levels = normal_levels(bits, 1)
    found = looked.best(layout, levels, (code.feedback, code.tap, 255), 256)
    assert bool(len(found.walk.made)) == walks
    assert found.pairs == (len(found.walk.made) if walks else layout.pairs if both else layout.first_pairs)
    assert found.queries > 1
    # a trellis without its highest bit forgets where it came from
    assert not len(looked.best(layout, levels, (code.feedback & 127, code.tap, 255), 256).walk.made)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_one_bit_alone_and_among_many(metric):
    x = np.random.default_rng(0).standard_normal((3040, 48)).astype(np.float32)
    index = Index(48, bits=1, metric=metric).build(x[:3000])
    assert len(index._content.view[0].codebook.meaning.walk.made)
    scores, ids = index.search(x[3000:], k=10)
    alone = [index.search(query[None], k=10) for query in x[3000:]]
    assert sum(len(np.intersect1d(one[1], other)) for one, other in zip(alone, ids, strict=True)) >= 398
    np.testing.assert_array_equal(alone[0][0][0][0], scores[0][0])
