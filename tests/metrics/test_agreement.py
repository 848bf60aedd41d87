"""Solutions that differ in a known way give the known numbers; equal ones give zero."""

import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Empirical, Gaussian, GaussianMixture
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear
from mfgen.games import MFG
from mfgen.metrics import compare
from mfgen.metrics._divergence import line_distance, moment_distance, overlap
from mfgen.models import Potential
from mfgen.solvers._base import Result, Solution, Status

SMALL = {"times": 3, "points": 64}


class Slope(eqx.Module):
    """U = q.x - (T - t) |q|^2 / 2 + lift, exact for the terminal cost q.x."""

    q: jax.Array
    lift: jax.Array

    def __call__(self, t, x):
        return self.q @ x - 0.5 * (1.0 - t) * self.q @ self.q + self.lift


class Drifting(eqx.Module):
    """N(-q t, 1 + sigma^2 t)."""

    q: jax.Array
    sigma: float

    def __call__(self, t):
        return Gaussian(-self.q * t, 1.0 + self.sigma**2 * t)


END = jnp.asarray([0.6, -0.8])


def end(x):
    return END @ x


def translation(q=(0.6, -0.8), lift=0.0, sigma=0.5, horizon=1.0, lagrangian=None, final=end):
    q = jnp.asarray(q)
    game = MFG(
        Integrator(sigma=sigma, horizon=horizon),
        Kinetic() if lagrangian is None else lagrangian,
        Linear(final),
        initial=Gaussian(jnp.zeros(q.size), 1.0),
    )
    value = Potential(Slope(q, jnp.asarray(lift)))
    return Solution(game, value, Drifting(q, sigma), Result(Status.CONVERGED, "a formula"))


@pytest.mark.usefixtures("x64")
def test_equal_solutions_agree_to_rounding():
    found = compare(translation(), translation(), **SMALL)
    assert found.missing == {}
    for name, row in found.rows.items():
        assert name.startswith("cost of") or abs(row.estimate.value) < 1e-12, name
    assert "largest relative difference" in str(found)
    assert set(json.loads(json.dumps(found.to_dict()))["rows"]) == set(found.rows)


@pytest.mark.usefixtures("x64")
def test_a_known_difference():
    """Slopes q and q + d: gradients and controls differ by |d|, means by |d| t."""
    d = jnp.asarray([0.3, 0.4])
    found = compare(translation(jnp.asarray([0.6, -0.8]) + d, lift=2.0), translation(), **SMALL)
    assert found["gradient"].value == pytest.approx(0.5, rel=1e-6)
    assert found.relative("gradient") == pytest.approx(0.5, rel=1e-6)
    assert found["control"].value == pytest.approx(0.5, rel=1e-6)
    assert found["moments"].value == pytest.approx(0.5, rel=1e-6)
    assert found["W2"].value == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_allclose(found.profiles["W2"].value, [0.0, 0.25, 0.5], atol=1e-7)
    # At the end N(-q - d, 1.25 I) against N(-q, 1.25 I).
    variance = 1.25
    exact = math.erf(0.5 / math.sqrt(8 * variance))
    assert found["total variation"].value == pytest.approx(exact, rel=1e-3)
    relative = math.sqrt(2 - 2 * math.exp(-0.25 / (4 * variance)))
    assert found["density, L2"].value == pytest.approx(relative, rel=1e-6)
    # J = |q'|^2 / 2 - q.q' for v = -q': half of |d|^2 above the least.
    assert found["cost"].value == pytest.approx(0.125, rel=1e-6)
    assert found["cost of the second"].value == pytest.approx(-0.5, rel=1e-6)


@pytest.mark.usefixtures("x64")
def test_a_constant_is_set_apart():
    found = compare(translation(lift=0.7), translation(), **SMALL)
    assert found["constant"].value == pytest.approx(0.7)
    assert found["value, up to a constant"].value == pytest.approx(0.0, abs=1e-12)


def test_the_norm_of_a_value_difference_is_weighted_by_the_reference(within):
    """U_a - U_b = d.x + const t: under N(-q t, 1 + sigma^2 t) its spread is known."""
    d, q, s = np.array([0.3, 0.4]), np.array([0.6, -0.8]), 0.5
    found = compare(translation(q + d), translation(), times=4, points=2048)
    slope = -(q @ d) + q @ d + 0.5 * d @ d  # of the mean in time
    exact = math.sqrt(d @ d * (1 + 0.5 * s**2) + slope**2 / 12)
    within(found["value, up to a constant"], exact)


OTHERS = {
    "horizons": lambda: translation(horizon=2.0),
    "dimensions": lambda: translation((0.6, -0.8, 0.0), final=lambda x: x[0]),
    "diffusions": lambda: translation(sigma=0.6),
    "Lagrangians": lambda: translation(lagrangian=Kinetic(1.5)),
    "terminal costs": lambda: translation(final=lambda x: x[0]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_different_games_are_refused(name):
    with pytest.raises(ValueError, match=f"`compare` got games with different {name}"):
        compare(OTHERS[name](), translation(), **SMALL)


def test_a_game_declared_twice_is_one_game():
    again = translation(
        lagrangian=WithPotential(Kinetic(), lambda t, x: 0.0 * x[0]), final=lambda x: END @ x
    )
    assert compare(again, translation(), **SMALL).relative("control") < 1e-6


def test_without_densities(key):
    full, bare = translation(), translation()
    bare = Solution(bare.game, bare.value, None, bare.result)
    found = compare(full, bare, **SMALL)
    assert found["gradient"].value < 1e-6
    for name in ("total variation", "W2", "moments", "cost"):
        assert "without density" in found.missing[name]
    with pytest.raises(KeyError, match="without density"):
        found["W2"]
    with pytest.raises(ValueError, match="two solutions without density"):
        compare(bare, bare)
    cloud = Empirical(jax.random.normal(key, (100, 2)))
    sampled = Solution(full.game, full.value, lambda t: cloud, full.result)
    assert "without a log-density" in compare(sampled, full, **SMALL).missing["total variation"]


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="`compare` got times = 1"):
        compare(translation(), translation(), times=1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_total_variation_of_gaussians(dim, key, within):
    """By quadrature in one and two dimensions, by samples in four."""
    shift = 0.9
    first = Gaussian(jnp.zeros(dim).at[0].set(shift), 1.0)
    found = overlap(first, Gaussian(jnp.zeros(dim), 1.0), points=4000, key=key)
    exact = math.erf(shift / math.sqrt(8))
    if dim > 2:
        assert found.relative is None
        within(found.total_variation, exact)
        assert found.total_variation.standard_error < 0.02
    else:
        assert found.total_variation.value == pytest.approx(exact, rel=2e-3)
        norm = math.sqrt(2 - 2 * math.exp(-(shift**2) / 4))
        assert found.relative == pytest.approx(norm, rel=1e-6)


@pytest.mark.usefixtures("x64")
def test_moment_distance_of_gaussians():
    """Covariances that commute: distances of standard deviations; and a rotation by hand."""
    one = Gaussian(jnp.asarray([1.0, 0.0]), jnp.asarray([4.0, 9.0]))
    two = Gaussian(jnp.asarray([0.0, 0.0]), jnp.asarray([1.0, 1.0]))
    assert moment_distance(one, two) == pytest.approx(math.sqrt(1 + 1 + 4))
    assert moment_distance(one, one) == 0
    flat = Empirical(jnp.asarray([[0.0, -1.0], [0.0, 1.0]]))
    assert moment_distance(flat, two) == pytest.approx(1.0)
    assert moment_distance(two, flat) == pytest.approx(1.0)
    turn = jnp.asarray([[0.8, -0.6], [0.6, 0.8]])
    bent = turn @ jnp.diag(jnp.asarray([4.0, 1.0])) @ turn.T
    # det and trace of a 2x2 root: tr A^1/2 = sqrt(tr A + 2 sqrt(det A)).
    other = np.diag([1.0, 2.0])
    product = other @ np.asarray(bent)
    trace = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    exact = math.sqrt(5.0 + 3.0 - 2 * trace)
    found = moment_distance(
        Gaussian(jnp.zeros(2), bent), Gaussian(jnp.zeros(2), jnp.asarray(other))
    )
    assert found == pytest.approx(exact, rel=1e-7)


@pytest.mark.usefixtures("x64")
def test_distance_on_a_line():
    """Between Gaussians it is that of their moments; between mixtures, a shift is the distance."""
    one, two = Gaussian(jnp.asarray([1.0]), 0.25), Gaussian(jnp.asarray([-0.5]), 1.44)
    exact = math.hypot(1.5, 1.2 - 0.5)
    assert line_distance(one, two) == pytest.approx(exact, rel=1e-4)
    assert line_distance(two, one) == pytest.approx(exact, rel=1e-4)
    mixture = lambda shift: GaussianMixture(
        jnp.asarray([0.3, 0.7]), jnp.asarray([[-2.0], [1.0]]) + shift, jnp.asarray([0.1, 0.4])
    )
    assert line_distance(mixture(0.25), mixture(0.0)) == pytest.approx(0.25, rel=1e-3)
    assert line_distance(one, one) == 0
