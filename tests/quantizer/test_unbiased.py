"""Stochastic rounding: right on average, as uncertain as it says, and the same whatever the pieces."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.quantizer import Quantizer, QuantizerSpec, unbiased
from ipaq_index.quantizer.scale import decode_scales, rounded_up
from tests import brute_force

DRAWS = 200


def spec(dim, bits, objective="adv", seed=0, **others):
    return QuantizerSpec(dim, bits, "scalar", rounding="stochastic", objective=objective, seed=seed, **others)


@pytest.mark.parametrize(("objective", "metric"), [("adv", "ip"), ("mdv", "ip"), ("adv", "l2")])
def test_mean_score_is_the_true_one_and_varies_as_predicted(objective, metric):
    x, q = brute_force.clustered(120, 8, seed=0), brute_force.clustered(5, 8, seed=1)
    index = iq.Index(8, bits=2, metric=metric, rounding="stochastic", objective=objective, transform="none")
    index.train(x[:110])
    usual = 110
    if metric == "ip":  # longer than any of the sample, zero, far outside along one axis: unbiased too
        x[110:114] *= 7
        x[114] = 0
        x[115] = 40 * np.eye(8)[3]
    for _ in range(DRAWS):  # what is random follows from seed and number of a row: each copy is another draw
        index.add(x)
    found, ids, std = index.search(q, len(index), return_std=True)
    order = np.argsort(ids, axis=1)
    found, std = (np.take_along_axis(part, order, 1).reshape(len(q), DRAWS, len(x)) for part in (found, std))
    true = q.astype(np.float64) @ x.T.astype(np.float64)
    if metric == "l2":
        true = ((q[:, None].astype(np.float64) - x[None]) ** 2).sum(2)
    spread = found.std(1, dtype=np.float64)
    z = (found.mean(1, dtype=np.float64) - true) / (spread / np.sqrt(DRAWS) + 1e-5)
    assert abs(z.mean()) < 0.15  # 600 means, each off by a standard error; those of a row are alike
    assert 0.85 < z.std() < 1.15
    assert np.abs(z).max() < 5
    if metric == "ip":
        for i in range(len(q)):  # query by query, over rows like those of the sample
            assert 0.9 < (std[i, :, :usual] ** 2).mean() / (spread[i, :usual] ** 2).mean() < 1.1


def test_mean_over_seeds_is_the_vector():
    x = brute_force.clustered(60, 6, seed=2)
    meta, arrays = Quantizer.fit(x, spec(6, 16)).to_arrays()
    decoded = []
    for seed in range(DRAWS):
        quantizer = Quantizer.from_arrays({**meta, "spec": spec(6, 16, seed=seed).to_dict()}, arrays)
        decoded.append(quantizer.decode(quantizer.encode(x)))
    error = (np.mean(decoded, 0) - x) / (np.std(decoded, 0) / np.sqrt(DRAWS) + 1e-5)
    assert abs(error.mean()) < 0.2
    assert 0.85 < error.std() < 1.15


def test_one_dimension_and_few_different_values():
    for x in (np.ones((9, 1)), np.zeros((9, 2)), np.repeat([[1.0, -2.0]], 9, axis=0)):
        x = x.astype(np.float32)
        quantizer = Quantizer.fit(x, spec(x.shape[1], 8))
        found = np.mean([quantizer.decode(quantizer.encode(x, first_row=9 * i)) for i in range(500)], axis=(0, 1))
        np.testing.assert_allclose(found, x[0], atol=1e-3)


def test_pieces_threads_and_seeds():
    x = brute_force.clustered(9000, 6, seed=2)
    quantizer = Quantizer.fit(x, spec(6, 24))
    whole = quantizer.encode(x, first_row=5)
    for part in (slice(0, 1), slice(17, 4500), slice(4500, 9000)):
        codes = quantizer.encode(x[part], first_row=5 + part.start, threads=2)
        np.testing.assert_array_equal(codes.symbols, whole.symbols[part])
        np.testing.assert_array_equal(codes.side, whole.side[part])
    assert (quantizer.encode(x, first_row=6).symbols != whole.symbols).any()
    other = Quantizer.from_arrays(
        {**quantizer.to_arrays()[0], "spec": spec(6, 24, seed=1).to_dict()}, quantizer.to_arrays()[1]
    )
    changed = (other.encode(x, first_row=5).symbols != whole.symbols).mean()
    assert 0.1 < changed < 0.6
    again = Quantizer.from_arrays(*quantizer.to_arrays())
    np.testing.assert_array_equal(again.encode(x, first_row=5).symbols, whole.symbols)


def test_adding_in_pieces_gives_the_same_index(tmp_path):
    x = brute_force.clustered(700, 5, seed=3)
    whole = iq.Index(5, bits=3, rounding="stochastic").build(x)
    pieces = iq.Index(5, bits=3, rounding="stochastic", threads=2).train(x)
    for first in range(0, 700, 130):
        pieces.add(x[first : first + 130])
    np.testing.assert_array_equal(whole.reconstruct(np.arange(700)), pieces.reconstruct(np.arange(700)))
    iq.save(whole, tmp_path / "unbiased.ipaq")
    loaded = iq.load(tmp_path / "unbiased.ipaq")
    more = brute_force.clustered(50, 5, seed=4)
    for index in (whole, loaded):
        index.add(more)
    np.testing.assert_array_equal(whole.reconstruct(np.arange(750)), loaded.reconstruct(np.arange(750)))


def test_adv_has_the_least_mean_variance_and_mdv_the_least_largest():
    y = np.random.default_rng(5).standard_t(3, (3000, 4)).astype(np.float32)
    variances = {}
    for objective in ("adv", "mdv"):
        sets, reference = unbiased.fit_stochastic(y, 16, objective, 1)
        scales = unbiased.scales(y, sets, reference)
        unit = y / scales[:, None]
        columns = []
        for j in range(4):
            levels = sets.levels[j, : 1 << sets.bits[j]].astype(np.float64)
            below = np.clip(np.searchsorted(levels, unit[:, j], "right") - 1, 0, len(levels) - 2)
            columns.append((levels[below + 1] - unit[:, j]) * (unit[:, j] - levels[below]))
        variances[objective] = np.array(columns)
    assert variances["adv"].min() > -1e-6
    assert variances["adv"].mean() < variances["mdv"].mean()
    assert variances["mdv"].max() < variances["adv"].max()


def test_kernel_is_its_twin():
    y = brute_force.clustered(40, 3, seed=6)
    quantizer = Quantizer.fit(y, spec(3, 16))
    _, arrays = quantizer.to_arrays()
    scales = rounded_up(np.linalg.norm(y, axis=1).astype(np.float64) + 3, unbiased.FORMAT, 2)
    counts = 1 << arrays["bits"].astype(np.int64)
    ours, twin = np.empty(y.shape, dtype=np.uint8), np.empty(y.shape, dtype=np.uint8)
    unbiased.round_stochastic(y, scales, arrays["levels"], counts, 7, 11, ours)
    with np.errstate(over="ignore"):
        unbiased.round_stochastic.py_func(y, scales, arrays["levels"], counts, 7, 11, twin)
    np.testing.assert_array_equal(ours, twin)


def test_scales_are_rounded_up():
    wanted = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 999)])
    found = rounded_up(wanted, unbiased.FORMAT, 2)
    assert (found >= wanted).all()
    assert (found <= wanted * (1 + 2.0**-11)).all()
    assert rounded_up(np.array([1e9]), unbiased.FORMAT, 2) == decode_scales(
        np.array([65535], np.uint16), unbiased.FORMAT
    )


def test_what_does_not_go_together_is_refused():
    for arguments, message in (
        ({"rounding": "stochastic", "objective": "mse"}, "objective: expected 'adv' or 'mdv'"),
        ({"objective": "adv"}, "objective: expected 'mse' with rounding='nearest'"),
        ({"rounding": "up"}, "rounding: expected one of nearest, stochastic"),
        ({"rounding": "stochastic", "encoding": "trellis"}, "encoding: expected 'scalar'"),
        ({"rounding": "stochastic", "bits": 0.5}, "at least one bit a dimension"),
    ):
        with pytest.raises(ValueError, match=message):
            iq.Index(16, **arguments)
