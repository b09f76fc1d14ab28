"""Level sets without an index: an attention cache and gradients, in a few bits a number and without bias.

    pip install . && python examples/compress_tensors.py

``levels.solve`` places the levels where they cost least for unseen inner products (ADV); stochastic rounding to them
has the right mean, so that errors of many terms cancel rather than add up. Evenly spaced levels are what is usual.
"""

import argparse
import sys

import numpy as np

from ipaq_index import levels


def even(values: np.ndarray, s: int) -> np.ndarray:
    """Return ``s`` evenly spaced levels from the least value to the largest."""
    return np.linspace(values.min(), values.max(), s)


def best(values: np.ndarray, s: int) -> np.ndarray:
    """Return the ``s`` levels of least average directional variance."""
    return levels.solve(values, s, objective="adv", method="auto").levels


def attention_cache(tokens: int, dim: int, draws: int, rng: np.random.Generator) -> None:
    """Quantize keys channel by channel and compare attention scores with those of the true keys.

    As in language models, a few channels are much larger than the others, and values have heavy tails.
    """
    scale = np.exp(rng.standard_normal(dim) * 0.7)
    keys = rng.standard_t(5, (tokens, dim)) * scale
    queries = rng.standard_normal((64, dim)) / scale.clip(1)
    exact = queries @ keys.T
    spread = exact.std()
    print(f"attention cache: {tokens} keys of {dim} channels; error of scores <q, k>, as a share of their spread")
    print("levels   bits   evenly spaced   ADV levels   ADV, mean of 16 draws   even, to nearest (bias: stays)")
    for s in (4, 8, 16):
        row = []
        for place in (even, best):
            sets = [place(keys[:, j], s) for j in range(dim)]
            rounded = [
                np.stack([levels.round_stochastic(keys[:, j], sets[j], rng) for j in range(dim)], 1)
                for _ in range(draws)
            ]
            errors = np.array([queries @ r.T - exact for r in rounded])
            row.append((np.sqrt((errors**2).mean()), np.sqrt((errors.mean(0) ** 2).mean())))
        near = np.stack([levels.round_nearest(keys[:, j], even(keys[:, j], s)) for j in range(dim)], 1)
        bias = np.sqrt(((queries @ near.T - exact) ** 2).mean())
        figures = [value / spread for value in (row[0][0], row[1][0], row[1][1], bias)]
        print("{:6}   {:4.0f}   {:13.3f}   {:10.3f}   {:21.3f}   {:30.3f}".format(s, np.log2(s), *figures))


def gradients(workers: int, size: int, steps: int, rng: np.random.Generator) -> None:
    """Let workers send quantized gradients of one logistic regression; compare where the training ends.

    Features differ in scale by two orders of magnitude, so that gradients have heavy tails.
    """
    scale = np.exp(rng.standard_normal(size) * 1.5)
    x = rng.standard_normal((workers, 64, size)) * scale
    y = (x @ (rng.standard_normal(size) / scale) > 0).astype(float)

    def gradient(w: np.ndarray, worker: int) -> np.ndarray:
        return x[worker].T @ (1 / (1 + np.exp(-x[worker] @ w)) - y[worker]) / 64

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, (1 - 2 * y) * (x @ w)).mean())

    print(f"\ngradients: {workers} workers, {size} weights, {steps} steps; loss {loss(np.zeros(size)):.4f} at first")
    print("levels   evenly spaced: vNMSE   loss   ADV levels: vNMSE   loss")
    for s in (4, 8, 16):
        row = []
        for place in (even, best):
            w, errors = np.zeros(size), []
            for _ in range(steps):
                total = np.zeros(size)
                for worker in range(workers):
                    g = gradient(w, worker)
                    chosen = place(g, s)
                    errors.append(levels.vnmse(g, chosen))
                    total += levels.round_stochastic(g, chosen, rng)
                w -= 0.02 * total / workers / scale
            row += [np.mean(errors), loss(w)]
        print("{:6}   {:20.3f}   {:.4f}   {:17.3f}   {:.4f}".format(s, *row))
    w = np.zeros(size)
    for _ in range(steps):
        w -= 0.02 * np.mean([gradient(w, worker) for worker in range(workers)], axis=0) / scale
    print(f"float32 gradients end at a loss of {loss(w):.4f}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--weights", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    attention_cache(given.tokens, given.channels, 16, rng)
    gradients(8, given.weights, given.steps, rng)


if __name__ == "__main__":
    main(sys.argv[1:])
