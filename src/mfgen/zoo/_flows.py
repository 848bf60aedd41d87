"""Continuous normalizing flows as mean-field games: one dynamics, and a choice of costs.

    dX = v dt,    rho(0) = the data,    M = weight KL(rho(T) || reference),    I = 0

| recipe | L(t, x, v) | how it is fitted |
|---|---|---|
| `cnf` | 0 | likelihood alone: ill posed, many flows have one density |
| `ot_flow` | abs(v)^2 / 2 | likelihood, transport cost, HJB residual along the paths |
| `potential_flow` | k abs(v)^2 / 2 | likelihood and transport cost |
| `rnode` | abs(v)^2 / 2 | likelihood, transport cost, Jacobian penalty |
| `wr_flow` | abs(v)^r / r | as `ot_flow` |
| `relativistic_flow` | c^2 - c sqrt(c^2 - abs(v)^2) | as `ot_flow`, speed below c |
| `anisotropic_flow` | v.A v / 2 | as `ot_flow` |
| `obstacle_flow` | abs(v)^2 / 2 + V(x) | as `ot_flow` |
| `flow_matching` | abs(v)^2 / 2, rho(T) prescribed | regression of straight lines |
| `ot_flow_matching` | same | the same with pairs of optimal transport |
| `stochastic_interpolant` | same | regression of curved lines |
| `action_matching` | same | the action of a potential along such lines |
| `boltzmann` | abs(v)^2 / 2, M = KL(rho(T) to exp(-V)/Z) | from a reference to an energy, no data |

A prescribed path solves the game only if it is the optimal one: flow matching is listed as what
approximates the hard-constrained game, and `certify` tells how well.

With data that are `LabelledPoints(points, labels)` each recipe but the last makes a conditional
flow: the labels are coordinates that do not move (`mfgen.games._labels`).

References: R. T. Q. Chen et al. (2018), arXiv 1806.07366; D. Onken et al. (2021), arXiv 2006.00104;
C. Finlay et al. (2020), arXiv 2002.02798; Y. Lipman et al. (2023), arXiv 2210.02747; A. Tong et al.
(2024), arXiv 2302.00482; M. Albergo, E. Vanden-Eijnden (2023), arXiv 2209.15571; K. Neklyudov et
al. (2023), arXiv 2210.06662; F. Noé et al. (2019), arXiv 1812.01729; B. J. Zhang, M. A. Katsoulakis
(2023), arXiv 2304.13534, section 4.1.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Key, Scalar, State, Time
from mfgen.costs._cost import (
    Anisotropic,
    Kinetic,
    NoCost,
    Power,
    Relativistic,
    WithPotential,
)
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._gaussian import Gaussian, isotropic
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._functional import KL
from mfgen.games._game import MFG
from mfgen.games._labels import point_dim, with_labels
from mfgen.losses._action import ActionMatching
from mfgen.losses._coupling import OptimalTransport
from mfgen.losses._flow import JacobianPenalty, PathLikelihood, ReverseKL, TransportCost
from mfgen.losses._interpolation import FlowMatching, StochasticInterpolant
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._shorthands import PathHJB
from mfgen.models._control import control_field
from mfgen.models._potential import ot_flow_potential
from mfgen.zoo._recipe import Recipe

WEIGHT = 100.0  # of the likelihood beside the transport cost, in standard units
RESIDUAL = 5.0  # of the HJB residual


class Stretched(eqx.Module):
    """The metric diag(1, ratio, ..., ratio).

    Arguments:
        ratio: what the other directions cost, in units of the first.
    """

    ratio: float = eqx.field(static=True)

    def __check_init__(self):
        positive("Stretched", "ratio", self.ratio)

    def __call__(self, x: State) -> Float[Array, "dim dim"]:
        return jnp.diag(jnp.full(x.size, self.ratio, x.dtype).at[0].set(1.0))


class Hill(eqx.Module):
    """V = height exp(-|x|^2 / (2 width^2)), a cost per unit of time.

    Arguments:
        height, width: of the hill, in units of cost and of x.
    """

    height: float = eqx.field(static=True)
    width: float = eqx.field(static=True)

    def __check_init__(self):
        _check.a_finite_number("Hill", "height", self.height)
        positive("Hill", "width", self.width)

    def __call__(self, t: Time, x: State) -> Scalar:
        z = x / self.width
        return self.height * jnp.exp(-0.5 * jnp.vdot(z, z))


def flow_game(
    data: AbstractDensity,
    lagrangian: AbstractLagrangian,
    *,
    weight: float = 1.0,
    reference: AbstractEvaluable | None = None,
) -> MFG:
    """The game from data to a reference, N(0, I) if absent, with M = weight KL."""
    terminal = weight * KL(_reference(data, reference))
    return with_labels(MFG(Integrator(), lagrangian, terminal, initial=data, data_at="start"))


def bridge_game(data: AbstractDensity, reference: AbstractEvaluable | None = None) -> MFG:
    """Optimal transport from data to a reference, N(0, I) if absent, which is prescribed."""
    terminal = Prescribed(_reference(data, reference))
    return with_labels(MFG(Integrator(), Kinetic(), terminal, initial=data, data_at="start"))


def _reference(data: AbstractDensity, given: AbstractEvaluable | None) -> AbstractEvaluable:
    return isotropic(jnp.zeros(point_dim(data)), 1.0) if given is None else given


def energy_game(
    energy: AbstractEvaluable,
    lagrangian: AbstractLagrangian,
    *,
    weight: float = 1.0,
    spread: float = 1.0,
) -> MFG:
    """The game from N(0, spread^2 I) to a density known by its energy, M = weight KL."""
    start = Gaussian(jnp.zeros(energy.dim), jnp.full(energy.dim, spread**2))
    return MFG(Integrator(), lagrangian, weight * KL(energy), initial=start)


def cnf(data: AbstractDensity, *, key: Key, **network: Any) -> Recipe:
    """A plain continuous normalizing flow: any control is free, likelihood is all.

    Arguments:
        data: the law of the data, `Empirical(points)` or a density.
        key: random key of the initial weights.
        network: options of `control_field`.
    """
    game = flow_game(data, NoCost())
    return Recipe(game, control_field(game, key=key, **network), 1.0 * PathLikelihood(), 2e-3)


def ot_flow(
    data: AbstractDensity,
    *,
    key: Key,
    weight: float = WEIGHT,
    residual: float = RESIDUAL,
    lagrangian: AbstractLagrangian | None = None,
    **network: Any,
) -> Recipe:
    """OT-Flow: a potential flow with the cost of its transport and its HJB residual.

    Arguments:
        data, key: as in `cnf`.
        weight: of the divergence M, and so of the likelihood.
        residual: weight of the HJB residual along the paths.
        lagrangian: another cost, with a Hamiltonian; `Kinetic()` if absent.
        network: options of `ot_flow_potential`.
    """
    cost = Kinetic() if lagrangian is None else lagrangian
    game = flow_game(data, cost, weight=weight)
    objective = weight * PathLikelihood() + TransportCost()
    if residual:
        objective = objective + residual * PathHJB()
    return Recipe(game, ot_flow_potential(game, key=key, **network), objective, 2e-2)


def potential_flow(
    data: AbstractDensity, *, key: Key, cost: float = 1.0, weight: float = WEIGHT, **network: Any
) -> Recipe:
    """A potential flow with the cost k |v|^2 / 2 alone; `cost` is k."""
    return ot_flow(data, key=key, weight=weight, residual=0.0, lagrangian=Kinetic(cost), **network)


def rnode(
    data: AbstractDensity,
    *,
    key: Key,
    weight: float = WEIGHT,
    jacobian: float = 1.0,
    **network: Any,
) -> Recipe:
    """RNODE: a control field with kinetic cost and a penalty of its Jacobian.

    The penalty is no Lagrangian: it regularises the field and has no HJB equation.
    """
    game = flow_game(data, Kinetic(), weight=weight)
    objective = weight * PathLikelihood() + TransportCost() + jacobian * JacobianPenalty()
    return Recipe(game, control_field(game, key=key, **network), objective, 2e-3)


def wr_flow(data: AbstractDensity, *, key: Key, exponent: float = 1.5, **options: Any) -> Recipe:
    """A W_r proximal flow, L = |v|^r / r; `options` as in `ot_flow`."""
    return ot_flow(data, key=key, lagrangian=Power(exponent), **options)


def relativistic_flow(
    data: AbstractDensity, *, key: Key, speed: float = 4.0, **options: Any
) -> Recipe:
    """A flow whose particles stay below the speed c, in standard units per unit of time."""
    return ot_flow(data, key=key, lagrangian=Relativistic(speed), **options)


def anisotropic_flow(
    data: AbstractDensity, *, key: Key, ratio: float = 4.0, **options: Any
) -> Recipe:
    """A flow for which all directions but the first cost `ratio` times as much."""
    return ot_flow(data, key=key, lagrangian=Anisotropic(Stretched(ratio)), **options)


def obstacle_flow(
    data: AbstractDensity, *, key: Key, height: float = 10.0, width: float = 0.3, **options: Any
) -> Recipe:
    """A flow around a hill V = height exp(-|x|^2 / (2 width^2)) in the middle of the data."""
    cost = WithPotential(Kinetic(), Hill(height, width))
    return ot_flow(data, key=key, lagrangian=cost, **options)


def flow_matching(data: AbstractDensity, *, key: Key, **network: Any) -> Recipe:
    """Conditional flow matching: the velocity of straight lines between independent pairs."""
    return _matched(data, FlowMatching(), key, network)


def ot_flow_matching(data: AbstractDensity, *, key: Key, **network: Any) -> Recipe:
    """Flow matching along pairs of optimal transport within each batch."""
    return _matched(data, FlowMatching(coupling=OptimalTransport()), key, network)


def stochastic_interpolant(data: AbstractDensity, *, key: Key, **network: Any) -> Recipe:
    """The velocity of a trigonometric interpolant with latent noise."""
    return _matched(data, StochasticInterpolant(), key, network)


def action_matching(data: AbstractDensity, *, key: Key, **network: Any) -> Recipe:
    """A potential whose gradient moves the density of straight lines, by its action."""
    game = bridge_game(data)
    return Recipe(game, ot_flow_potential(game, key=key, **network), 1.0 * ActionMatching(), 1e-2)


def boltzmann(
    energy: AbstractEvaluable,
    *,
    key: Key,
    spread: float = 1.0,
    weight: float = WEIGHT,
    residual: float = RESIDUAL,
    **network: Any,
) -> Recipe:
    """A flow from N(0, spread^2 I) to a density known by its energy, without data of it.

    Arguments:
        energy: the target, such as `Unnormalised(energy, dim)` or `double_well()`.
        key: random key of the initial weights.
        spread: deviation of the reference; it should reach all modes.
        weight: of the divergence M.
        residual: weight of the HJB residual.
        network: options of `ot_flow_potential`.
    """
    game = energy_game(energy, Kinetic(), weight=weight, spread=spread)
    fitted = ReverseKL()
    objective = weight * fitted + TransportCost(fitted.paths)
    if residual:
        objective = objective + residual * PathHJB(paths=fitted.paths)
    return Recipe(game, ot_flow_potential(game, key=key, **network), objective, 5e-3)


def _matched(
    data: AbstractDensity, objective: AbstractObjective, key: Key, network: dict[str, Any]
) -> Recipe:
    game = bridge_game(data)
    return Recipe(game, control_field(game, key=key, **network), 1.0 * objective, 2e-3)
