"""The quantizer's parts against plain NumPy."""

import numpy as np
import pytest

from ipaq_index.quantizer import Quantizer, QuantizerSpec, choice, transform
from ipaq_index.quantizer.product import accumulate, product
from ipaq_index.quantizer.scale import (
    TWO_BYTES,
    ScaleFormat,
    decode_scales,
    encode_scales,
    scale_factors,
    typical_cosine,
)
from tests import brute_force


def test_transform_keeps_inner_products():
    x, q = brute_force.clustered(500, 7, seed=0), brute_force.clustered(100, 7, seed=1)
    for r in (0.0, 0.5, 1.0):
        t = transform.fit(x, q, r)
        y, p = (x - t.mean) @ t.forward, q @ t.dual
        np.testing.assert_allclose(p @ y.T + (q @ t.mean)[:, None], q @ x.T, atol=2e-4)
        covariance = np.cov(y.T)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3 * covariance.max())
        assert (np.diff(np.diag(covariance)) <= 1e-6).all()


def test_pca_at_r_0_and_equal_query_weights_at_r_1():
    x, q = brute_force.clustered(500, 5, seed=0), brute_force.clustered(2000, 5, seed=1)
    pca = transform.fit(x, q, 0.0)
    np.testing.assert_allclose(pca.forward.T @ pca.forward, np.eye(5), atol=1e-5)
    p = q @ transform.fit(x, q, 1.0).dual
    np.testing.assert_allclose((p**2).mean(0) / (p**2).mean(), 1, atol=0.2)


def test_random_rotation_and_no_transform():
    x = brute_force.clustered(200, 6, seed=0)
    t = transform.fit(x, x, 0.5, "random", seed=3)
    np.testing.assert_allclose(t.forward @ t.forward.T, np.eye(6), atol=1e-6)
    np.testing.assert_array_equal(t.forward, transform.fit(x, x, 0.5, "random", seed=3).forward)
    assert not np.array_equal(t.forward, transform.fit(x, x, 0.5, "random", seed=4).forward)
    np.testing.assert_array_equal(transform.fit(x, x, 0.5, "none").forward, np.eye(6))
    pca = transform.fit(x, x, 0.5, "pca")
    np.testing.assert_array_equal(pca.forward, transform.fit(x, x, 0.0).forward)


def fourth(rows):
    return float(((rows**2).sum(1) ** 2).mean())


def test_shrinkage_is_the_best_share():
    rng = np.random.default_rng(0)
    true = np.diag([4.0, 2.0, 1.0, 1.0])
    for count in (5, 40, 4000):
        shares, best = [], []
        for _ in range(200):
            rows = rng.standard_normal((count, 4)) * np.sqrt(np.diag(true))
            moment = rows.T @ rows / count
            shares.append(transform.shrinkage(fourth(rows), moment, count))
            target = np.trace(moment) / 4 * np.eye(4) - moment  # the share of least distance to the true moment
            best.append(((true - moment) * target).sum() / (target**2).sum())
        assert abs(np.mean(shares) - np.clip(best, 0, 1).mean()) < 0.15
    assert np.mean(shares) < 0.01
    assert transform.shrinkage(0.0, np.zeros((4, 4)), 3) == 1


def test_few_rows_do_not_blind_the_codes():
    x = np.random.default_rng(0).standard_normal((2000, 48)).astype(np.float32)
    quantizer = Quantizer.fit(x[:24], QuantizerSpec(48, 4 * 48))
    error = ((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum() / (x**2).sum()
    assert error < 0.16  # 0.12; without shrinkage 0.6: the 24 rows span half of the axes


@pytest.mark.parametrize("kind", ["auto", "pca", "random", "none"])
@pytest.mark.parametrize("x", [np.zeros((5, 3)), np.ones((1, 3)), np.outer(np.arange(60), [1, 2, 3]), np.eye(3)])
def test_degenerate_samples_are_coded(kind, x):
    x = x.astype(np.float32)
    quantizer = Quantizer.fit(x, QuantizerSpec(3, 24, transform=kind))
    np.testing.assert_allclose(quantizer.decode(quantizer.encode(x)), x, atol=0.06 * max(1, x.max()))
    with pytest.raises(ValueError, match=r"transform: expected one of auto, .* got 'dct'"):
        QuantizerSpec(3, 24, transform="dct")


def test_transform_of_degenerate_data():
    for x in (np.zeros((5, 3)), np.ones((1, 3)), np.outer(np.arange(6), [1, 2, 3])):
        x = x.astype(np.float32)
        t = transform.fit(x, x, 0.5)
        for part in (t.forward, t.dual):
            assert np.isfinite(part).all()
        np.testing.assert_allclose(t.forward @ t.dual.T, np.eye(3), atol=1e-2)


def test_product_rows_do_not_depend_on_their_neighbours():
    rng = np.random.default_rng(0)
    x, m = rng.standard_normal((15, 13)).astype(np.float32), rng.standard_normal((13, 37)).astype(np.float32)
    whole = product(x, m)
    np.testing.assert_allclose(whole, x @ m, atol=1e-5)
    for i in range(len(x)):
        np.testing.assert_array_equal(product(x[i : i + 1], m)[0], whole[i])
    twin = np.zeros_like(whole)
    accumulate.py_func(x, m, twin)
    np.testing.assert_array_equal(twin, whole)


def test_scales_remove_the_error_along_the_vector():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((50, 8)).astype(np.float32)
    z = (y + 0.1 * rng.standard_normal(y.shape)).astype(np.float32)
    t = scale_factors(sums(y, z))
    np.testing.assert_allclose((y * z).sum(1) * t, (y * y).sum(1), rtol=1e-5)
    assert scale_factors(sums(0 * y[:1], z[:1]))[0] == 0
    assert scale_factors(sums(y[:1], -z[:1]))[0] == 1
    assert scale_factors(sums(y[:1], 0 * z[:1]))[0] == 1


def test_scales_with_the_typical_cosine_keep_the_length_and_are_right_on_average():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((500, 8)).astype(np.float32)
    z = (y + 0.7 * rng.standard_normal(y.shape)).astype(np.float32)
    cosine = typical_cosine(y, z)
    decoded = z * scale_factors(sums(y, z), cosine)[:, None]
    pointing = (y * z).sum(1) > 0.1 * np.linalg.norm(y, axis=1) * np.linalg.norm(z, axis=1)
    assert pointing.mean() > 0.9
    lengths = np.linalg.norm(decoded, axis=1) / np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(lengths[pointing], 1 / cosine, rtol=1e-5)
    np.testing.assert_allclose((y * decoded)[pointing].sum(), (y * y)[pointing].sum(), rtol=0.02)
    assert typical_cosine(y, y) == pytest.approx(1)
    assert typical_cosine(0 * y, 0 * y) == 1
    assert typical_cosine(y, 0 * y) == typical_cosine(y, -y) == 0.1


def sums(y, z):
    y, z = y.astype(np.float64), z.astype(np.float64)
    return np.stack([(y * y).sum(1), (y * z).sum(1), (z * z).sum(1)], 1)


@pytest.mark.parametrize("scale_format", [TWO_BYTES, ScaleFormat(3, TWO_BYTES.base, TWO_BYTES.step << 3)])
def test_scales_survive_their_code(scale_format):
    scales = np.concatenate([[0.0], np.geomspace(0.005, 200, 1000)])
    codes = encode_scales(scales, scale_format, np.uint16)
    assert codes.dtype == np.uint16
    assert (codes & (1 << scale_format.state_bits) - 1 == 0).all()
    np.testing.assert_allclose(decode_scales(codes, scale_format), scales, rtol=2.0 ** -(13 - scale_format.state_bits))
    ends = decode_scales(encode_scales(np.array([1e-9, 1e9]), scale_format, np.uint16), scale_format)
    assert (np.isfinite(ends)).all()
    assert ends[0] > 0


def test_more_bits_less_error_and_arrays_round_trip():
    x = brute_force.clustered(2000, 9, seed=4)
    errors = []
    for code_bits in (8, 24, 48, 72):
        quantizer = Quantizer.fit(x, QuantizerSpec(9, code_bits))
        codes = quantizer.encode(x)
        errors.append(float(((quantizer.decode(codes) - x) ** 2).sum()))
        again = Quantizer.from_arrays(*quantizer.to_arrays())
        np.testing.assert_array_equal(again.encode(x).symbols, codes.symbols)
        np.testing.assert_array_equal(again.decode(codes), quantizer.decode(codes))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * (x**2).sum()


def test_damaged_arrays_are_refused():
    meta, arrays = Quantizer.fit(brute_force.clustered(100, 4, seed=0), QuantizerSpec(4, 16)).to_arrays()
    for name, bad in {
        "mean": arrays["mean"][:2],
        "dual": np.full_like(arrays["dual"], np.nan),
        "levels": arrays["levels"].astype(np.float64),
        "bits": arrays["bits"] + np.uint8(1),
        "forward": None,
    }.items():
        with pytest.raises(ValueError, match=f"section 'quantizer.{name}'"):
            Quantizer.from_arrays(meta, {**arrays, name: bad})
    with pytest.raises(ValueError, match="code_bits"):
        Quantizer.from_arrays({"spec": {"dim": 4, "code_bits": 15}}, arrays)


def sparse(kind, n=2000, d=24):
    rng = np.random.default_rng(5)
    x = rng.standard_exponential((n, d)) * (rng.random((n, d)) < 0.1)
    return ({"zeros": x, "shifted": (x - x.mean(0)) / x.std(0), "binary": x > 0}[kind]).astype(np.float32)


def relative_error(x, **options):
    quantizer = Quantizer.fit(x, QuantizerSpec(x.shape[1], 3 * x.shape[1], **options))
    error = ((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    return quantizer, error


@pytest.mark.parametrize("kind", ["zeros", "shifted", "binary"])
@pytest.mark.parametrize("states", [8, 256])
def test_auto_codes_sparse_vectors_along_their_own_axes(kind, states):
    x = sparse(kind)
    chosen, error = relative_error(x, states=states)
    forward = chosen.to_arrays()[1]["forward"]
    np.testing.assert_array_equal(forward, np.diag(np.diag(forward)))
    assert error < 0.5 * relative_error(x, states=states, transform="pca")[1]
    if kind == "binary":
        assert error < (
            1e-2 if states == 8 else 1e-4
        )  # one level for zeros alone leaves 0.1 and more: paths that leave it do not find back


def test_auto_codes_dense_vectors_along_axes_of_the_sample():
    rng = np.random.default_rng(0)
    for x in (brute_force.clustered(2000, 24, seed=0), rng.standard_t(3, (2000, 24)), rng.standard_normal((2000, 24))):
        x = x.astype(np.float32)
        fitted, origin, _ = choice.fit(x, x, 0.5, code_bits=72)
        expected = transform.fit(x, x, 0.5)
        assert origin == "sample"
        for part in ("mean", "forward", "dual"):
            np.testing.assert_array_equal(getattr(fitted, part), getattr(expected, part))


def test_own_axes_are_weighted_and_counted_from_the_most_frequent_value():
    x = sparse("zeros") + np.float32(3)
    q = np.random.default_rng(1).standard_normal((500, 24)).astype(np.float32) * np.linspace(1, 3, 24, dtype=np.float32)
    fitted, origin, _ = choice.fit(x, q, 1.0, code_bits=48)
    assert origin == "own"
    np.testing.assert_array_equal(fitted.mean, np.full(24, 3, dtype=np.float32))
    weights = np.diag(fitted.forward)
    np.testing.assert_allclose(
        weights / weights.mean(), np.sqrt((q**2).mean(0)) / np.sqrt((q**2).mean(0)).mean(), rtol=0.25
    )
    np.testing.assert_allclose((x - fitted.mean) @ fitted.forward @ (q @ fitted.dual).T, (x - 3) @ q.T, atol=1e-3)
    few = np.arange(30, dtype=np.float32).reshape(10, 3)  # no value twice: counted from the mean
    np.testing.assert_array_equal(transform.fit(few, few, 0.5, "none").mean, few.mean(0))
