"""Score matching and the HJB residual in one pass are the two on their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.losses import (
    HJB,
    DenoisingScoreMatching,
    Huber,
    Hutchinson,
    LogUniform,
    NoisedData,
    RatioPower,
    SlicedScoreMatching,
    SpreadData,
)

LAW = LogUniform(0.1, 2.0)
SHARING = {
    "exact": (DenoisingScoreMatching(), HJB(points=10)),
    "all points": (DenoisingScoreMatching(), HJB(points=None)),
    "probes": (DenoisingScoreMatching(), HJB(laplacian=Hutchinson(3), points=16)),
    "control variate": (DenoisingScoreMatching(control_variate=0.4), HJB(points=10)),
    "settings": (
        DenoisingScoreMatching(LAW),
        HJB(Huber(0.5), NoisedData(LAW), points=7, weighting=RatioPower(-1.0)),
    ),
}


@pytest.mark.parametrize("name", SHARING)
def test_value_terms_and_gradient_are_those_of_the_parts(name, game, network, data, key):
    matching, residual = SHARING[name]
    batch = data[:37]
    assert eqx.tree_equal(residual.bundle(), matching.bundle()) is True

    def apart(model):
        first = 2.0 * matching(game, model, batch, key=key)
        second = 0.3 * residual(game, model, batch, key=key)
        return first + second, (first, second)

    def together(model):
        return tuple((2.0 * matching + 0.3 * residual).evaluate(game, model, batch, key=key))

    @eqx.filter_jit
    def slopes(model):
        return [eqx.filter_value_and_grad(f, has_aux=True)(model) for f in (together, apart)]

    (values, gradient), (expected, slope) = slopes(network)
    np.testing.assert_allclose(jax.tree.leaves(values), jax.tree.leaves(expected), rtol=2e-5)
    for got, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(slope), strict=True):
        scale = float(jnp.max(jnp.abs(wanted)))
        np.testing.assert_allclose(got, wanted, atol=1e-4 * scale, rtol=1e-3)


def test_terms_without_common_points_are_left_apart():
    matching = DenoisingScoreMatching()
    for other in (HJB(collocation=SpreadData()), DenoisingScoreMatching(LAW)):
        assert eqx.tree_equal(other.bundle(), matching.bundle()) is not True
    assert SlicedScoreMatching().bundle() is None
