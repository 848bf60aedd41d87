"""Residuals of the game's equations: zero at a solution, at one point (t, x).

    hjb            -dt U + r U + H(t, x, grad U) - tr(D Hess U) - dI/drho(rho(t))(x)
    terminal       U(T, x) - dM/drho(rho(T))(x)
    fokker_planck  ( dt rho + div(rho b) - div(D grad rho) ) / rho
                   = dt l + div b + b.grad l - tr(D Hess l) - grad l.D grad l,      l = log rho

with D = sigma sigma^T / 2, for a number sigma a multiple of the identity; r the game's discount, U
the current value and b = a + g v*(t, x, grad U). The Fokker-Planck
residual is relative: a rate, per unit of time, that stays meaningful where rho is tiny.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Scalar, State, Time
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.derive._hamiltonian import drift, hamiltonian
from mfgen.games._game import MFG
from mfgen.math._autodiff import HeatJet, divergence, heat_jet
from mfgen.math._linear_map import LinearMap, image, matrix, square

Value = Callable[[Time, State], Scalar]
Path = Callable[[Time], AbstractDensity]


def hjb(game: MFG, u: Value, rho: Path | None, t: Time, x: State) -> Scalar:
    """The residual of the Hamilton-Jacobi-Bellman equation, in units of cost per unit of time.

    Arguments:
        game: the game.
        u: the value function (t, x) -> scalar.
        rho: the density path t -> density; `None` if the interaction does not depend on it.
        t, x: the point at which the residual is taken, x of shape `[dim]`.

    Example:

        game = MFG(Integrator(), Kinetic(), KL(target))
        plane = lambda t, x: jnp.sum(x) + t         # -1 + |(1, 1)|^2 / 2 = 0
        hjb(game, plane, None, 0.5, jnp.zeros(2))
    """
    _check_parts("hjb", game, u)
    with _check.evaluated("hjb", "a value function u", x):
        jet = game_jet(game, u, t, x)
    return hjb_from_jet(game, jet, rho, t, x)


def game_jet(game: MFG, u: Value, t: Time, x: State) -> HeatJet:
    """The derivatives of u in the HJB equation: value, dt u + tr(D Hess u), and gradient."""
    return _heat(game, u, t, x, 1.0)


def hjb_from_jet(game: MFG, jet: HeatJet, rho: Path | None, t: Time, x: State) -> Scalar:
    """The residual `hjb` for given derivatives of u, exact or estimated.

    Arguments:
        game, rho, t, x: as in `hjb`.
        jet: value, heat dt u + tr(D Hess u) and gradient of u at (t, x).
    """
    density = None if rho is None else rho(t)
    residual = hamiltonian(game, t, x, jet.gradient) - jet.heat
    if game.discount > 0:
        residual = residual + game.discount * jet.value
    return residual - game.interaction.variation(density, x)


def diffusivity(game: MFG, t: Time) -> LinearMap:
    """D = sigma sigma^T / 2, the map of the second-order terms of the game's equations."""
    return 0.5 * square(game.dynamics.diffusion(t))


def _heat(game: MFG, u: Value, t: Time, x: State, sign: float) -> HeatJet:
    """u, dt u + sign tr(D Hess u), and grad u."""
    if game.dynamics.deterministic:
        t = jnp.asarray(t, x.dtype)
        value, (time, gradient) = jax.value_and_grad(u, argnums=(0, 1))(t, x)
        return HeatJet(value, time, gradient)
    fixed = game.dynamics.fixed
    if fixed:
        # Nothing moves along a label: there is no second derivative, and no use of the first.
        point, label = x[:-fixed], x[-fixed:]
        of_points = lambda t, point: u(t, jnp.concatenate([point, label]))
        sigma = game.dynamics.of_points.diffusion(t)
        jet = _heat_jet(of_points, t, point, sign * 0.5 * square(sigma))
        return jet._replace(gradient=jnp.pad(jet.gradient, (0, fixed)))
    return _heat_jet(u, t, x, sign * diffusivity(game, t))


def _heat_jet(u: Value, t: Time, x: State, spread: LinearMap) -> HeatJet:
    return heat_jet(u)(t, x, spread if spread.ndim == 0 else matrix(spread, x.size))


def fokker_planck(game: MFG, u: Value, rho: Path, t: Time, x: State) -> Scalar:
    """The residual of the Fokker-Planck equation divided by rho, per unit of time.

    Arguments:
        game: the game.
        u: the value function (t, x) -> scalar, from which the drift a + g v* is derived.
        rho: the density path t -> density with a log-density.
        t, x: the point at which the residual is taken, x of shape `[dim]`.

    Raises:
        TypeError: if the density at time t has no log-density.

    Example:

        game = MFG(Integrator(), Kinetic(), KL(target))
        still = lambda t: Gaussian(jnp.zeros(2), 1.0)
        fokker_planck(game, lambda t, x: 1.0 + 0.0 * x[0], still, 0.5, jnp.ones(2))     # 0
    """
    _check_parts("fokker_planck", game, u)
    _check.a_function("fokker_planck", "rho", rho, "t that returns a density")
    return continuity(game, lambda x: drift(game, t, x, jax.grad(u, argnums=1)(t, x)), rho, t, x)


def continuity(
    game: MFG, velocity: Callable[[State], State], rho: Path, t: Time, x: State
) -> Scalar:
    """The residual `fokker_planck` of particles with a given drift at time t."""
    log_density = _heat(game, lambda t, x: _evaluable(rho(t)).log_density(x), t, x, -1.0)
    slope = log_density.gradient
    residual = log_density.heat + jnp.vdot(velocity(x), slope) + divergence(velocity)(x)
    if game.dynamics.deterministic:
        return residual
    return residual - jnp.vdot(slope, image(diffusivity(game, t), slope))


def terminal(game: MFG, u: Value, rho: Path | None, x: State) -> Scalar:
    """The mismatch U(T, x) - dM/drho(rho(T))(x) at the final time, in units of cost.

    Arguments:
        game, u: as in `hjb`.
        rho: the density path; `None` if the terminal cost is linear in the density.
        x: a point of shape `[dim]`.
    """
    _check_parts("terminal", game, u)
    horizon = game.dynamics.horizon
    density = None if rho is None else rho(horizon)
    with _check.evaluated("terminal", "a value function u", x):
        value = u(horizon, x)
    return value - game.terminal.variation(density, x)


def _check_parts(owner: str, game: MFG, u: Value) -> None:
    _check.of_kind(owner, "game", game, MFG, "pass the game first and then the value function")
    takes = "t and x that returns a scalar, a potential or the `value` of a solution"
    _check.a_function(owner, "u", u, takes)


def _evaluable(density: AbstractDensity) -> AbstractEvaluable:
    if not isinstance(density, AbstractEvaluable):
        raise TypeError(
            f"`fokker_planck` got a density `{type(density).__name__}` without a log-density: pass "
            "a path of densities such as `GaussianMixture`."
        )
    return density
