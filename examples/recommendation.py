"""Recommendation: the items that suit a user are those whose factors have the largest inner product with the user's.

    pip install . && python examples/recommendation.py

Likes are drawn from hidden tastes and a popularity that falls off like 1/rank. Alternating least squares (Hu, Koren and
Volinsky, 2008) finds factors from part of them; the rest is what a good recommender should bring up. Factors differ in
length with popularity, so that this is a search for inner products, not for angles.
"""

import argparse
import sys
import time

import numpy as np

import ipaq_index as iq

TRUST = 20.0  # weight of a like against that of an item not (yet) liked
HELD_OUT = 0.2


def likes(users: int, items: int, rng: np.random.Generator) -> np.ndarray:
    """Return who likes what, (users, items) bool: tastes of 16 dimensions, popular items liked more."""
    tastes, traits = rng.standard_normal((users, 16)), rng.standard_normal((items, 16))
    popularity = np.log(1 / (1 + rng.permutation(items)))
    desire = tastes @ traits.T / 2 + popularity + rng.gumbel(size=(users, items))
    best = np.argpartition(-desire, 60, axis=1)[:, :60]
    found = np.zeros((users, items), dtype=bool)
    np.put_along_axis(found, best, True, axis=1)
    return found


def factors(liked: np.ndarray, dim: int, rounds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of users and items by alternating least squares on implicit feedback."""
    sides = [rng.standard_normal((n, dim)) / 10 for n in liked.shape]
    for step in range(2 * rounds):
        known, table = sides[1 - step % 2], liked if step % 2 == 0 else liked.T
        gram = known.T @ known + np.eye(dim)
        for row, who in zip(sides[step % 2], table, strict=True):
            mine = known[who]
            row[:] = np.linalg.solve(gram + TRUST * mine.T @ mine, (1 + TRUST) * mine.sum(0))
    return sides[0].astype(np.float32), sides[1].astype(np.float32)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(0)

    truth = likes(given.users, given.items, rng)
    hidden = truth & (rng.random(truth.shape) < HELD_OUT)
    seen = truth & ~hidden
    start = time.perf_counter()
    users, items = factors(seen, given.dim, given.rounds, rng)
    lengths = np.linalg.norm(items, axis=1)
    print(
        f"factors of {len(users)} users and {len(items)} items in {time.perf_counter() - start:.0f} s; an item's length"
    )
    print(f"is from {np.quantile(lengths, 0.01):.2f} to {np.quantile(lengths, 0.99):.2f} (1 % and 99 %)\n")

    exact = users @ items.T
    best = _unseen(np.argsort(-exact, axis=1), seen)
    print("bytes an item   of the exact 10, found   hidden likes among the 10")
    print(f"{4 * given.dim:13}   {1:22.1%}   {_hits(best, hidden):25.1%}   (float32, exact)")
    for bits in (8, 4, 2, 1):
        # Users are the queries that will come: the codes are fitted to a sample of them.
        index = iq.Index(given.dim, bits=bits, metric="ip").build(items, queries=users[: len(users) // 2])
        _, ids = index.search(users, k=10 + int(seen.sum(1).max()))
        found = _unseen(ids, seen)
        share = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, best, strict=True)])
        print(f"{index.bytes_per_vector:13}   {share:22.1%}   {_hits(found, hidden):25.1%}   ({bits} bits)")


def _unseen(ranked: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return each user's first ten items that the user has not seen."""
    return np.array([row[~who[row]][:10] for row, who in zip(ranked, seen, strict=True)])


def _hits(recommended: np.ndarray, hidden: np.ndarray) -> float:
    return float(np.take_along_axis(hidden, recommended, axis=1).mean())


if __name__ == "__main__":
    main(sys.argv[1:])
