"""What is looked up of each row for one query: the first part of its code, all of it, or numbers of levels.

The less look-ups tell, the more rows must be scored exactly; the more they tell, the longer they take. Which way is
best depends on the share of the variance that each leaves unknown.
"""

import math
from typing import NamedTuple

from ipaq_index.scan.known import Floats, Known, doubt, known
from ipaq_index.scan.layout import QUAD, Layout
from ipaq_index.scan.walk import BYTE, BYTE_COST, MOST_BITS, NO_WALK, SOURCE_COST, Walk, instructions, plan

# Vector instructions for 64 rows, of which a CPU with AVX-512 does two a cycle; measured on GloVe, 1 to 4 bits, Zen 4.
BLOCKS_COST, PAIR_COST = 100, 6  # of look-ups, and for each pair of nibbles
EXACT_COST, EXACT_DIMENSION_COST = 64 * 150, 64 * 3  # if all were scored exactly, and for each dimension
DECODED_COST, PRODUCT_COST = 40, 2.7  # for each dimension of rows that are decoded, and times one of many queries
FAR = 3.7  # standard deviations by which the best rows stand out: one in 10,000


class Looked(NamedTuple):
    """What is looked up.

    Attributes
    ----------
    known : Known
        What that tells.
    pairs : int
        How many pairs of nibbles.
    walk : Walk
        How to make them.
    queries : float
        As many take as long by look-ups, one by one, as together by products.
    """

    known: Known
    pairs: int
    walk: Walk
    queries: float


def best(layout: Layout, levels: Floats, feedback: tuple[int, int, int], states: int) -> Looked:
    """Return the way that takes least time.

    Parameters
    ----------
    layout, levels, feedback, states
        See `ipaq_index.scan.packed.CodeBook`.
    """
    first, pairs, trellis = layout.first_pairs, layout.pairs, feedback[2] > 0
    active = int((layout.bits > 0).sum())
    ways = [(known(layout, levels, trellis, first), first, NO_WALK)]
    costs = [PAIR_COST * first + _exact(ways[0][0], active)]
    if first < pairs and first % QUAD == 0 and PAIR_COST * pairs < costs[0]:
        ways.append((known(layout, levels, trellis, pairs), pairs, NO_WALK))
        costs.append(PAIR_COST * pairs + _exact(ways[-1][0], active))
    least = BYTE_COST * (layout.bits.sum(dtype=int) + active) / BYTE + SOURCE_COST * pairs
    possible = trellis and 2 * feedback[0] >= states and first == pairs and layout.bits.max(initial=0) <= MOST_BITS
    if possible and least < costs[0]:
        walk, numbers = plan(layout, feedback, states)
        if instructions(walk) < costs[0]:
            made = len(walk.made)
            ways.append((known(numbers, levels, False, made), made, walk))
            costs.append(instructions(walk) + _exact(ways[-1][0], active))
    cost, way = min(zip(costs, ways, strict=True), key=lambda pair: pair[0])
    more = BLOCKS_COST + cost - PRODUCT_COST * active  # a query, than by products
    return Looked(*way, DECODED_COST * active / more if more > 0 else math.inf)


def _exact(known: Known, active: int) -> float:
    """Return what exact scores of the rows cost that look-ups let pass, were all values normal."""
    whole, unknown = known.variances.sum(1, dtype=float)
    left = unknown / whole if whole > 0 else 0.0
    reached = FAR * (1 - left) - math.sqrt(2 * doubt(unknown, whole) * left) if left > 0 else FAR
    passing = 0.5 * math.erfc(reached / math.sqrt(2 * (1 - left))) if left < 1 else 1.0
    return passing * (EXACT_COST + EXACT_DIMENSION_COST * active)
