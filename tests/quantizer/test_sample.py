"""What samples tell of vectors yet to come, against vectors that came."""

import numpy as np
import pytest

from ipaq_index.quantizer import sample
from ipaq_index.quantizer.quantizer import Quantizer
from ipaq_index.quantizer.spec import QuantizerSpec


def shrunk(eigenvalues, n):
    """Equations 4.7 to 4.9 of Ledoit and Wolf (2020), one eigenvalue at a time."""
    p, h, result = len(eigenvalues), n ** (-1 / 3), []
    for x in eigenvalues:
        density = hilbert = 0.0
        for e in eigenvalues:
            u = (x - e) / (h * e)
            density += 3 / (4 * 5**0.5 * h * e) * max(0, 1 - u * u / 5) / p
            log = np.log(abs((5**0.5 - u) / (5**0.5 + u))) if abs(u) != 5**0.5 else 0
            hilbert += (-3 * u / (10 * np.pi) + 3 / (4 * 5**0.5 * np.pi) * (1 - u * u / 5) * log) / (h * e * p)
        c = p / n
        result.append(x / ((np.pi * c * x * density) ** 2 + (1 - c - np.pi * c * x * hilbert) ** 2))
    return result


def test_later_variances_are_those_of_the_paper():
    variances = np.random.default_rng(0).uniform(0.5, 3, 30)
    np.testing.assert_allclose(sample.later_variances(variances, 400), shrunk(variances, 400), rtol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_later_vectors_vary_as_expected(spread):
    rng, d, n = np.random.default_rng(1), 60, 1_200
    deviations = np.exp(spread * rng.standard_normal(d) / 2)
    x, later = (rng.standard_normal((n, d)) * deviations for n in (n, 50_000))
    values, axes = np.linalg.eigh(x.T @ x / n)
    true = np.square(later @ axes).mean(0)
    error, before = (np.abs(np.log(v / true)) for v in (sample.later_variances(values, n), values))
    assert error.mean() < 0.5 * before.mean()
    assert error.max() < before.max()


def test_axes_without_any_variance_are_let_be():
    variances = np.array([2.0, 1.0, 0.5, 0.0, 1e-30])
    found = sample.later_variances(variances, 1_000)
    np.testing.assert_array_equal(found[3:], variances[3:])
    np.testing.assert_allclose(found[:3], shrunk(variances[:3], 1_000))
    y = np.zeros((100, 5), dtype=np.float32)
    np.testing.assert_array_equal(sample.evened(y, 100), y)


def test_rows_apart():
    fit, others = sample.apart(900, 20_000)
    assert len(fit) == len(others) == 900
    for count in (5_000, 20_001, 60_000):
        fit, others = sample.apart(count, 20_000)
        assert len(fit) <= 20_000
        np.testing.assert_array_equal(np.sort(np.append(fit, others)), np.arange(count))


def test_white_vectors_that_were_not_in_the_sample_at_eight_bits():
    """They leave the levels of axes along which the sample varies least, and their scales are unlike the sample's."""
    rng, d = np.random.default_rng(2), 96
    x, later = rng.standard_normal((1_440, d), dtype=np.float32), rng.standard_normal((2_000, d), dtype=np.float32)
    quantizer = Quantizer.fit(x, QuantizerSpec(d, 8 * d, states=8), threads=1)
    error = [np.square(quantizer.decode(quantizer.encode(y)) - y).sum() / np.square(y).sum() for y in (x, later)]
    assert error[1] < 2 * error[0]
    assert error[1] < 1e-4
