"""Residuals: Fokker-Planck on known paths, the forms agree, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tests.nested import nested_jet

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian, GaussianMixture
from mfgen.derive import _residual as residual
from mfgen.derive import fokker_planck, hjb, terminal
from mfgen.derive._residual import hjb_from_jet
from mfgen.dynamics import VE, VP, Integrator, SubVP
from mfgen.functionals import KL, CrossEntropy, Entropy, Linear, Zero
from mfgen.games import MFG
from mfgen.math._autodiff import HeatJet


def mixture(dim):
    means = jnp.stack([jnp.linspace(-1, 1, dim), jnp.linspace(0.5, -0.2, dim)])
    return GaussianMixture(jnp.array([0.4, 0.6]), means, jnp.array([0.3, 0.5]))


def still(t, x):
    """U = 0: nobody steers."""
    return 0.0 * x[0]


def points(dim):
    return jnp.linspace(-1.5, 2.0, 3 * dim).reshape(3, dim)


def largest(residual, dim):
    return jnp.max(jnp.abs(eqx.filter_jit(jax.vmap(residual))(points(dim))))


def test_brownian_motion(x64):
    """Without control dX = sigma dW: the law is noised with variance sigma^2 t."""
    game = MFG(Integrator(sigma=0.8), Kinetic(), Zero())
    path = lambda t: mixture(2).noised(1.0, 0.8 * jnp.sqrt(t))
    assert largest(lambda x: fokker_planck(game, still, path, 0.6, x), 2) < 1e-10


@pytest.mark.parametrize("noising", [VP(), VE(), SubVP()], ids=["VP", "VE", "SubVP"])
def test_noising_run_forwards(noising, x64):
    """The noising process as an uncontrolled game carries the exact noised density."""
    game = MFG(noising, Kinetic(), Zero())
    path = lambda s: mixture(2).noised(noising.signal(s), noising.noise(s))
    assert largest(lambda x: fokker_planck(game, still, path, 0.4, x), 2) < 1e-10


def test_continuity_equation(x64):
    """Without noise, U = -|x|^2 / 2 pushes outwards, v = x: the law spreads by e^t."""
    game = MFG(Integrator(), Kinetic(), Zero())
    path = lambda t: Gaussian(jnp.ones(2) * jnp.exp(t), 0.3 * jnp.exp(2 * t))
    outwards = lambda t, x: -0.5 * x @ x
    assert largest(lambda x: fokker_planck(game, outwards, path, 0.4, x), 2) < 1e-10
    inwards = lambda t, x: 0.5 * x @ x
    assert largest(lambda x: fokker_planck(game, inwards, path, 0.4, x), 2) > 0.1


def test_relative_form_is_the_equation_over_rho(x64):
    """Against dt rho + div(rho b) - (sigma^2/2) lap rho written for rho itself, off a solution."""
    game = MFG(Integrator(sigma=0.7), Kinetic(2.0), Zero())
    path = lambda t: mixture(2).noised(1.0 + t, 0.4)
    u = lambda t, x: jnp.sin(x[0] * x[1] + t)
    rho = lambda t, x: jnp.exp(path(t).log_density(x))

    def written(t, x):
        flux = lambda x: rho(t, x) * -jax.grad(u, 1)(t, x) / 2
        change = jax.grad(rho)(t, x) + jnp.trace(jax.jacfwd(flux)(x))
        return (change - 0.245 * jnp.trace(jax.hessian(rho, 1)(t, x))) / rho(t, x)

    t, x = jnp.asarray(0.3), jnp.array([0.2, -0.6])
    relative = eqx.filter_jit(lambda t, x: fokker_planck(game, u, path, t, x))(t, x)
    assert jnp.allclose(relative, jax.jit(written)(t, x), rtol=1e-10)
    assert jnp.abs(relative) > 0.1


def test_residual_from_a_jet_is_the_residual(x64):
    game = MFG(Integrator(sigma=0.7), Kinetic(), Zero(), interaction=0.3 * Entropy())
    u = lambda t, x: jnp.sin(x[0] * x[1] + t)
    path = lambda t: mixture(2).noised(1.0, t)
    t, x = jnp.asarray(0.3), jnp.array([0.2, -0.6])
    value, time, gradient, laplacian = nested_jet(u)(t, x)
    nested = HeatJet(value, time + 0.245 * laplacian, gradient)
    given = hjb_from_jet(game, nested, path, t, x)
    assert jnp.allclose(hjb(game, u, path, t, x), given, rtol=1e-12)


def test_deterministic_dynamics_needs_no_laplacian(monkeypatch):
    def refuse(u):
        raise AssertionError("the Laplacian was asked for")

    monkeypatch.setattr(residual, "heat_jet", refuse)
    game, x = MFG(Integrator(), Kinetic(), Zero()), jnp.array([1.0, 2.0])
    assert jnp.allclose(hjb(game, lambda t, x: 0.5 * x @ x - 3 * t, None, 0.2, x), 2.5 + 3)


def test_terminal_mismatch():
    x = jnp.array([0.3, -0.4])
    target, final = mixture(2), Gaussian(jnp.zeros(2))
    dynamics = Integrator(horizon=2.0)
    linear = MFG(dynamics, Kinetic(), Linear(lambda x: x @ x))
    assert jnp.allclose(terminal(linear, lambda t, x: t * x @ x, None, x), 0.25, rtol=1e-5)
    divergence = MFG(dynamics, Kinetic(), KL(target))
    path = lambda t: Gaussian(jnp.zeros(2), 0.5 * jnp.asarray(t))
    u = lambda t, x: final.log_density(x) - target.log_density(x) + 1
    assert jnp.allclose(terminal(divergence, u, path, x), 0, atol=1e-6)


def test_densities_that_cannot_be_evaluated_are_refused():
    x, data = jnp.zeros(2), Empirical(jnp.zeros((3, 2)))
    game = MFG(Integrator(), Kinetic(), CrossEntropy(data), interaction=Entropy())
    with pytest.raises(
        TypeError, match="got a density `Empirical` without a log-density: pass a path"
    ):
        fokker_planck(game, still, lambda t: data, 0.0, x)
    with pytest.raises(
        TypeError, match="`Entropy` got no population, expected a density: pass `rho`"
    ):
        hjb(game, still, None, 0.0, x)
    with pytest.raises(TypeError, match="`CrossEntropy` got a target `Empirical`"):
        terminal(game, still, None, x)
