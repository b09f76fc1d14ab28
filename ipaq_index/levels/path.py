"""Cheapest paths of k intervals through nodes whose interval costs are Monge.

The cheapest cost D(k) is convex in k, so a path that minimises cost + μ·intervals is the cheapest of its length, and
the right μ gives the right length (Aggarwal, Schieber and Tokuyama, 1994, "Finding a minimum-weight k-link path in
graphs with the concave Monge property").
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import AnyNodes, Floats, interval_cost

Path = npt.NDArray[np.int64]
Parents = npt.NDArray[np.int32]

PATIENCE = 8  # steps after which it is asked whether the search for a takeover can succeed at all
NEAR = 3  # lengths apart at which the slope is a better guess than interpolation
GUESSES = 24  # of μ by interpolation; by then the slope, which cannot fail, takes over


@njit(nogil=True, cache=True)
def potentials(left: AnyNodes, right: AnyNodes, mu: float, kind: int) -> tuple[Floats, Parents]:
    """Return F, the least cost + μ·intervals of a path from the first node to each, and each node's predecessor.

    An interval from i to j costs that from node i of ``left`` to node j of ``right``; the two are the same for plain
    paths. By the Monge property a later predecessor, once better, stays better. So the candidates form a queue, each
    with the first node for which it is the best, its takeover (Wilber, 1988; Galil and Park, 1992). That is searched in
    doubling steps, as it is mostly near: from the last takeover on, or back from a candidate that was just beaten.

    One loop with all in it: as functions of their own, its parts were not inlined, and took three times as long.
    """
    n = len(right.w)
    f = np.empty(n)
    parent = np.empty(n, dtype=np.int32)
    candidate = np.empty(n, dtype=np.int32)
    since = np.empty(n, dtype=np.int32)
    f[0], parent[0] = 0.0, -1
    candidate[0], since[0] = 0, 1
    head, tail = 0, 1
    for j in range(1, n):
        while head + 1 < tail and since[head + 1] <= j:
            head += 1
        i = candidate[head]
        f[j] = f[i] + interval_cost(left, i, right, j, kind) + mu
        parent[j] = i
        if j == n - 1:
            break
        old, low, high = i, j, n  # the takeover is above low, where j is not the better one, and at most high
        while tail > head:
            old = candidate[tail - 1]
            low = max(since[tail - 1], j + 1)
            if not better(left, right, f, j, old, low, kind):
                break
            high = low
            tail -= 1
        step = 1
        if tail == head:
            high = j + 1
        elif high < n:
            while high - step > low and better(left, right, f, j, old, high - step, kind):
                high -= step
                step *= 2
            low = max(low, high - step)
        else:
            while low + step < n - 1 and not better(left, right, f, j, old, low + step, kind):
                low += step
                step *= 2
                if step == PATIENCE and not better(left, right, f, j, old, n - 1, kind):
                    low = n - 1
            if low + step < n - 1:
                high = low + step
            elif low < n - 1 and better(left, right, f, j, old, n - 1, kind):
                high = n - 1
            else:
                continue
        while high - low > 1:
            middle = (low + high) // 2
            if better(left, right, f, j, old, middle, kind):
                high = middle
            else:
                low = middle
        candidate[tail], since[tail] = j, high
        tail += 1
    return f, parent


@njit(nogil=True, cache=True)
def better(left: AnyNodes, right: AnyNodes, f: Floats, new: int, old: int, t: int, kind: int) -> bool:
    """Return whether node t is reached from ``new`` at no more cost than from ``old``."""
    return bool(f[new] + interval_cost(left, new, right, t, kind) <= f[old] + interval_cost(left, old, right, t, kind))


@njit(nogil=True, cache=True)
def follow(parent: Parents) -> Path:
    """Return the path to the last node that predecessors describe."""
    count = 1
    i = parent[len(parent) - 1]
    while i >= 0:
        count += 1
        i = parent[i]
    path = np.empty(count, dtype=np.int64)
    i = len(parent) - 1
    for position in range(count - 1, -1, -1):
        path[position] = i
        i = parent[i]
    return path


@njit(nogil=True, cache=True)
def path_cost(nodes: AnyNodes, path: Path, kind: int) -> float:
    """Return the sum of a path's interval costs."""
    total = 0.0
    for p in range(len(path) - 1):
        total += interval_cost(nodes, path[p], nodes, path[p + 1], kind)
    return total


@njit(nogil=True, cache=True)
def splice(short: Path, long: Path, k: int) -> Path:
    """Return a path of k intervals from two that are both optimal for the same μ.

    Where an interval of the short path contains the interval of the long one that is ``len(long) - k`` places further
    on, the start of the one joins the end of the other; by the Monge property this costs nothing.
    """
    ahead = len(long) - 1 - k
    for t in range(len(short) - 1):
        if long[t + ahead + 1] <= short[t + 1]:
            return np.concatenate((short[: t + 1], long[t + ahead + 1 :]))
    return short  # not reached: the last interval of the short path contains every end


@njit(nogil=True, cache=True)
def cheapest(nodes: AnyNodes, k: int, mu: float, kind: int) -> tuple[Path, float]:
    """Return the cheapest path of k intervals from the first node to the last, and a μ for which it is optimal.

    Parameters
    ----------
    nodes : Nodes or PreciseNodes
        n of them; see `ipaq_index.levels.intervals`.
    k : int
        Intervals, from 1 to n - 1.
    mu : float
        A guess of μ; 0 for none.
    kind : int
        What intervals cost.

    Notes
    -----
    First guesses follow D(k) ~ 1/k², that is μ ~ 1/k³. When they fail, or two lengths near k are known, μ is the slope
    between the two: the path is then of a length between, or there is none better and the two are spliced. So the
    search ends, with ties too.
    """
    n = len(nodes.w)
    short = np.array([0, n - 1], dtype=np.int64)
    if k <= 1:
        return short, 0.0
    if k >= n - 1:
        return np.arange(n), 0.0
    short_cost, long_cost = path_cost(nodes, short, kind), 0.0
    long = np.empty(0, dtype=np.int64)  # the path through every node, until a better one is found or it is needed
    shorter, longer = 1, n - 1
    short_mu, long_mu = np.inf, 0.0
    if not mu > 0.0:
        mu = 2.0 * short_cost / float(k) ** 3
    stalled, misses = False, 0
    for attempt in range(10 * n):  # each attempt, or the one after it, narrows the lengths down, so it ends before
        bracketed = np.isfinite(short_mu) and len(long) > 0
        by_slope = (bracketed and (stalled or longer - shorter <= NEAR)) or attempt > GUESSES
        if by_slope or not long_mu < mu < short_mu:
            by_slope = True
        if by_slope:
            if len(long) == 0:
                long = np.arange(n)
                long_cost = path_cost(nodes, long, kind)
            mu = (short_cost - long_cost) / (longer - shorter)
        _, parent = potentials(nodes, nodes, mu, kind)
        path = follow(parent)
        count = len(path) - 1
        if count == k:
            return path, mu
        stalled = not shorter < count < longer
        if stalled and by_slope:
            break
        if count < k:
            short_mu = min(short_mu, mu)
            if not stalled:
                short, short_cost, shorter = path, path_cost(nodes, path, kind), count
        else:
            long_mu = max(long_mu, mu)
            if not stalled:
                long, long_cost, longer = path, path_cost(nodes, path, kind), count
        misses = misses + 1 if stalled else 0
        mu = next_mu(mu, count, k, shorter, short_mu, longer, long_mu, misses)
    return splice(short, long, k), mu


@njit(nogil=True, cache=True)
def next_mu(
    mu: float, count: int, k: int, shorter: int, short_mu: float, longer: int, long_mu: float, misses: int
) -> float:
    """Return the next guess of μ: by interpolation of log μ in log k, else by μ ~ 1/k³, past k after misses."""
    if np.isfinite(short_mu) and long_mu > 0.0:
        share = np.log(longer / k) / np.log(longer / shorter)
        return float(long_mu * (short_mu / long_mu) ** share)
    aim = k + misses if count < k else max(1, k - misses)
    return float(mu * (count / aim) ** 3)
