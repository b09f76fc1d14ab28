"""What the first part of a code tells, against sums over all levels."""

import numpy as np
import pytest

from ipaq_index.scan.known import known, quadrature
from ipaq_index.scan.layout import Layout


def test_even_levels_have_the_points_of_legendre():
    x = np.linspace(-1, 1, 100_001)[None, None]
    points, shares = quadrature(x, np.ones_like(x))
    nodes, weights = np.polynomial.legendre.leggauss(3)
    np.testing.assert_allclose(points[0, :, 0], nodes, atol=1e-4)
    np.testing.assert_allclose(shares[0, :, 0], weights / 2, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 64])
def test_points_have_the_moments_of_all_levels(count):
    rng = np.random.default_rng(count)
    x = np.concatenate([rng.standard_normal((5, 4, count)), rng.standard_cauchy((5, 4, count))]) + 3
    x[0, 0] = x[0, 0, 0]
    x[1, 0, : count // 2], x[1, 0, count // 2 :] = 1.5, -1
    weights = rng.random(x.shape)
    points, shares = quadrature(x, weights)
    assert (np.diff(points, axis=1) >= 0).all() and (shares >= 0).all()
    centre = np.average(x, axis=-1, weights=weights)
    size = np.maximum(np.abs(x - centre[..., None]).max(-1), 1e-3)
    for power in range(6):
        moment = np.average(((x - centre[..., None]) / size[..., None]) ** power, axis=-1, weights=weights)
        np.testing.assert_allclose(
            (shares * ((points - centre[:, None]) / size[:, None]) ** power).sum(1), moment, atol=1e-7
        )
    if count <= 3:
        np.testing.assert_allclose(points.min(1), x.min(-1), atol=1e-6 * size.max())


@pytest.mark.parametrize("trellis", [False, True])
@pytest.mark.parametrize("bits", [[8, 7, 3, 3, 2, 1, 0, 4] * 9, [1, 2, 4, 0], [8] * 16, [0, 0]])
def test_look_ups_add_up_to_the_mean_of_the_levels_that_are_left(bits, trellis):
    """Of even levels, which are all as frequent: for any row, and their variance as well."""
    rng = np.random.default_rng(1)
    plan = Layout(np.array(bits, dtype=np.uint8))
    ends = np.sort(rng.standard_normal((2, len(bits))), axis=0)
    levels = np.zeros((len(bits), 512), dtype=np.float32)
    for j, width in enumerate(bits):
        levels[j, : 1 << width + trellis] = np.linspace(*ends[:, j], 1 << width + trellis)
    found = known(plan, levels, trellis, plan.first_pairs)
    for _ in range(9):
        told, agree = np.zeros(len(bits)), levels[:, : 1 << max(bits) + trellis] != 0
        values = rng.integers(0, 16, 2 * plan.first_pairs + 1)
        symbols = np.arange(agree.shape[1]) >> trellis
        for j, shift, width, nibble, position in plan.pieces:
            if nibble < 2 * plan.first_pairs:
                agree[j] &= symbols >> shift & (1 << width) - 1 == values[nibble] >> position & (1 << width) - 1
        for n, (j, nibble) in enumerate(found.places):
            if n < len(found.points):
                points, shares = found.points[n].reshape(2, 3, 16)[..., values[nibble]]
                told[j] += points @ shares
                assert shares @ (points - points @ shares) ** 2 == pytest.approx(found.variances[1, j], abs=1e-6)
            else:
                told[j] += found.others[n - len(found.points), values[nibble]]
        for j in np.flatnonzero(plan.bits):
            left = levels[j, : agree.shape[1]][agree[j]]
            assert told[j] == pytest.approx(left.mean(), abs=1e-5)
            assert found.variances[1, j] == pytest.approx(left.var(), abs=1e-5)
            own = levels[j, : 1 << bits[j] + trellis]
            assert found.variances[0, j] == pytest.approx(own.var(), abs=1e-5)
    means = np.einsum("nkv,nkv->nv", found.points[:, :3], found.points[:, 3:])
    np.testing.assert_allclose(found.widths, np.ptp(np.concatenate([means, found.others]), axis=1), atol=1e-5)
