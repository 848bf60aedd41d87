"""What does not depend on where the points are is the same far from zero, or refused there.

f(x + c) is f(x) for distances, divergences, slopes and weights, and f(x) + c for means, centres and
places. Coordinates are multiples of 1/64, so that x + c is exact in single precision for the first
offsets, of 1e5 deviations; at the last one it is not, and what is computed in it has to say so.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.data import _scaling, _validate
from mfgen.densities import _cholesky
from mfgen.math import _pairs
from mfgen.metrics import (
    _classifier,
    _discrepancy,
    _importance,
    _likelihood,
    _memorisation,
    _transport,
)
from mfgen.models import _estimate, _precondition, _smoothed
from mfgen.solvers import _divergence_flow, _mmd_flow

OFFSETS = (16384.0, 98304.0)
BEYOND = 2.0**23
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, Y = (np.round(64 * RNG.normal(shift, size=(48, 2))) / 64 for shift in (0.0, 0.5))
WIDE = np.round(64 * RNG.normal(size=(2, 40, 6))) / 64  # more dimensions than differences are for
NOISING = mg.dynamics.VE(0.05, 10.0)


def normal(c):
    return mg.Gaussian(np.full(2, c), [[2.0, 0.5], [0.5, 1.0]])


def game(x):
    return mg.score_based(NOISING, mg.Empirical(x))


def late(model, points):
    """A model near the end of its game."""
    t = NOISING.horizon - NOISING.time(jnp.asarray(0.3))
    return eqx.filter_jit(lambda model, x: jax.vmap(lambda x: model(t, x))(x))(model, points)


def single(x):
    return jnp.asarray(x, jnp.result_type(float))


def moments(law, c):
    mean, covariance = law.moments()
    return np.asarray(mean, float) - c, covariance


def flow(made, points, c):
    velocity = eqx.filter_jit(lambda flow, x: flow.velocity(x, key=KEY))
    return velocity(made, single(points + c)), made.energy(single(points + c))


def variation(functional, c):
    def both(functional, rho, x):
        return functional.value(rho), jax.grad(functional.variation, 1)(rho, x)

    return eqx.filter_jit(both)(functional, mg.Empirical(X + c), single(X[0] + c))


def pair_sums(x, y, c):
    near = _divergence_flow.gaussian_profile(1.0)
    x, y = single(x + c), single(y + c)
    weights = jnp.ones(len(y)) / len(y)
    return _pairs.pair_sums(near, x, y, weights[:, None]), _pairs.pair_gradients(
        near, x, y, weights
    )


def paired(coupling, c):
    return np.asarray(coupling(single(X + c), single(Y + c), key=KEY), float) - c


def critic(c):
    made = mg.models.lipschitz_critic(2, width=8, depth=1, around=mg.Empirical(X + c), key=KEY)
    return jax.vmap(made)(single(Y + c))


# Functions of the points x + c: means and places come back with c subtracted.
LAWS = {
    "Empirical.moments": lambda c: moments(mg.Empirical(X + c), c),
    "LabelledPoints.moments": lambda c: moments(
        mg.densities.LabelledPoints(X + c, Y), [c, c, 0, 0]
    ),
    "Gaussian": lambda c: (
        jax.vmap(normal(c).log_density)(single(X + c)),
        normal(c).sample(64, key=KEY) - c,
    ),
    "GaussianMixture": lambda c: (
        moments(mg.GaussianMixture(np.full(48, 1 / 48), X + c, np.ones(48)), c),
        mg.GaussianMixture(np.full(48, 1 / 48), X + c, np.ones(48)).log_density(single(Y[0] + c)),
    ),
    "CholeskyGaussian": lambda c: _cholesky.CholeskyGaussian(
        np.full(2, c), [[2.0, 0.5], [0.5, 1.0]]
    ).log_density(single(X[0] + c)),
    "Standardise": lambda c: _scaling.Standardise.fit(X + c).apply((Y + c).astype(np.float32)),
    "Standardise.invert": lambda c: _scaling.Standardise.fit(X + c).invert(Y) - c,
    "check_samples": lambda c: _validate.check_samples(X + c) - c,
    "pair_sums": lambda c: pair_sums(X, Y, c),
    "pair_sums in many dimensions": lambda c: pair_sums(*WIDE, c),
    "MMD": lambda c: variation(mg.MMD(mg.Empirical(Y + c)), c),
    "Pairwise": lambda c: variation(
        mg.functionals.Pairwise(mg.functionals.AttractionRepulsion()), c
    ),
    "MeanAttraction": lambda c: variation(mg.functionals.MeanAttraction(), c),
    "MeanTarget": lambda c: variation(mg.functionals.MeanTarget(single(np.full(2, c))), c)[0],
    "Wasserstein2": lambda c: variation(
        mg.functionals.Wasserstein2(mg.Empirical(Y + c), epsilon=0.5), c
    ),
    "SinkhornDivergence": lambda c: variation(
        mg.functionals.SinkhornDivergence(mg.Empirical(Y + c), epsilon=0.5), c
    ),
    "MMDFlow": lambda c: flow(_mmd_flow.MMDFlow(Y + c), X, c),
    "MMDFlow of Gaussian kernels": lambda c: flow(_mmd_flow.MMDFlow(Y + c, (0.5, 2.0)), X, c),
    "MMDFlow in many dimensions": lambda c: flow(_mmd_flow.MMDFlow(WIDE[0] + c), WIDE[1], c),
    "SteinFlow": lambda c: flow(_divergence_flow.SteinFlow(normal(c)), X, c),
    "BlobFlow": lambda c: flow(_divergence_flow.BlobFlow(normal(c), 0.5), X, c),
    "OptimalTransport": lambda c: paired(mg.losses.OptimalTransport(), c),
    "ExactTransport": lambda c: paired(mg.losses.ExactTransport(), c),
    "EntropicTransport": lambda c: mg.losses.EntropicTransport(1.0).plan(
        single(X + c), single(Y + c)
    ),
    "lipschitz_critic": critic,
    "precondition": lambda c: (
        np.asarray(_precondition.precondition(game(X + c)).mean) - c,
        _precondition.precondition(game(X + c)).spread,
    ),
    "kernel_estimate": lambda c: late(_estimate.kernel_estimate(game(X + c), X + c), single(Y + c)),
    "mixture_estimate": lambda c: late(
        mg.models.mixture_estimate(game(X + c), X + c, components=2, starts=1, key=KEY),
        single(Y + c),
    ),
    "proximal_kernel": lambda c: late(
        mg.models.proximal_kernel(game(X + c), X + c, reach=1.0, width=0.5), single(Y + c)
    ),
    "kernel_potential": lambda c: late(
        mg.models.kernel_potential(game(X + c), X + c, components=4, key=KEY), single(Y + c)
    ),
    "SmoothedPotential": lambda c: late(
        _smoothed.SmoothedPotential(NOISING, X + c, np.eye(2)), single(Y + c)
    ),
    "mmd2": lambda c: _discrepancy.mmd2(X + c, Y + c),
    "energy_distance": lambda c: _discrepancy.energy_distance(X + c, Y + c),
    "median_distance": lambda c: _discrepancy.median_distance(X + c),
    "wasserstein2": lambda c: _transport.wasserstein2(X + c, Y + c),
    "wasserstein2 on a line": lambda c: _transport.wasserstein2(X[:, :1] + c, Y[:, :1] + c),
    "sliced_wasserstein2": lambda c: _transport.sliced_wasserstein2(
        X + c, Y + c, key=KEY, projections=16
    ),
    "c2st": lambda c: _classifier.c2st(X + c, Y + c),
    "memorisation_ratio": lambda c: _memorisation.memorisation_ratio(X + c, Y + c, Y[::-1] + c + 1),
    "log_weights": lambda c: _importance.log_weights(normal(c), np.zeros(48), X + c),
    "kl": lambda c: _likelihood.kl(normal(c), np.zeros(48), X + c),
}


# What takes arrays of JAX, which are single already: there is nothing left to refuse.
SINGLE = {
    "pair_sums",
    "pair_sums in many dimensions",
    "OptimalTransport",
    "ExactTransport",
    "EntropicTransport",
    "MeanTarget",
    "Standardise",
}
# What subtracts means in float64 before anything is cast.
SHIFTED = {
    "Standardise.invert",
    "mmd2",
    "energy_distance",
    "median_distance",
    "wasserstein2",
    "wasserstein2 on a line",
    "sliced_wasserstein2",
    "c2st",
    "memorisation_ratio",
}


@pytest.mark.parametrize("name", [name for name in LAWS if name != "c2st"])
def test_far_from_zero_is_as_near_zero(name):
    near = jax.tree.leaves(LAWS[name](0.0))
    for c in OFFSETS:
        # Places are rounded to what single precision holds there.
        step = float(np.spacing(np.float32(2 * c)))
        for a, b in zip(near, jax.tree.leaves(LAWS[name](c)), strict=True):
            a, b = np.asarray(a, float), np.asarray(b, float)
            size = max(1e-3, np.abs(a).max())
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-3 * size + step, err_msg=str(c))


@pytest.mark.parametrize("name", sorted(set(LAWS) - SINGLE))
def test_beyond_single_precision_is_as_near_or_refused(name):
    if name not in SHIFTED:
        with pytest.raises(ValueError, match=r"subtract the mean|shift the coordinates"):
            LAWS[name](BEYOND)
        return
    near, far = (jax.tree.leaves(LAWS[name](c)) for c in (0.0, BEYOND))
    for a, b in zip(near, far, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
