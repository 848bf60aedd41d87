"""An oracle: a game whose value function, density and optimal cost are known exactly.

    J = M(rho(T)) + int I(rho(t)) dt + int E_rho(t) L(t, X, v*) dt

If M is linear in rho and I = 0, a game is a control problem and J = E_rho_0 U(0, X).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
    weighted_moments,
)
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.math._quadrature import box_rule
from mfgen.models._base import Potential
from mfgen.solvers._base import Result, Solution, Status

Vector = Float[np.ndarray, "dim"]
_DEVIATIONS = 6.0  # within which the mass lies that is seen
_REACH = 9.0  # the same of integrals
_CELLS = {1: 96, 2: 24}


class Oracle(NamedTuple):
    """A game with its exact answer.

    Attributes:
        solution: the game with its initial density, the value U(t, x) in closed form, the density
            path t -> rho(t).
        cost: the optimal cost J of the game from its initial density.
        box: half the width of a cube around the origin that holds the mass at all times, up to
            six standard deviations.
        name, summary: of the oracle, in a word and in a line.
        formula: the answer.
        reference: where it comes from.
        target: the density that rho(T) equals, where the game is made to reach one.
    """

    solution: Solution
    cost: float | None
    box: float
    name: str
    summary: str
    formula: str
    reference: str
    target: AbstractEvaluable | None = None


class AbstractMoved(AbstractEvaluable):
    """The law of particles of a known law that moved.

    To add one, give `log_density` and `moved(points)`.
    """

    start: eqx.AbstractVar[AbstractEvaluable]

    @abstractmethod
    def moved(self, points: Batch) -> Batch:
        """The places of particles of the first law after they moved."""

    @property
    def dim(self) -> int:
        return self.start.dim

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.moved(self.start.sample(n, key=key))

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.start.particles()
        return self.moved(points), weights


def exact(
    game: MFG,
    value: Callable[[Time, State], Scalar],
    density: Callable[[Time], AbstractEvaluable],
) -> Solution:
    """The exact solution of a game as a `Solution`."""
    return Solution(game, Potential(value), density, Result(Status.CONVERGED, "exact"))


def box(density: Callable[[Time], AbstractDensity], horizon: float) -> float:
    """The largest |mean| + 6 standard deviations of a coordinate on the way."""
    times = jnp.linspace(0.0, horizon, 9)
    means, covariances = jax.jit(jax.vmap(lambda t: density(t).moments()))(times)
    variances = jnp.diagonal(covariances, axis1=1, axis2=2)
    return float(jnp.max(jnp.abs(means) + _DEVIATIONS * jnp.sqrt(variances)))


def integral(law: AbstractEvaluable, f: Callable[[State], Scalar]) -> float:
    """E_law f by a composite Gauss-Legendre rule around the law, in one or two dimensions."""
    mean, covariance = map(np.asarray, law.moments())
    reach = _REACH * np.sqrt(np.diag(covariance))
    sides = list(zip((mean - reach).tolist(), (mean + reach).tolist(), strict=True))
    rule = box_rule(sides, _CELLS[len(sides)], n=6)
    nodes = jnp.asarray(rule.nodes, float)
    values = jax.jit(jax.vmap(lambda x: jnp.exp(law.log_density(x)) * f(x)))(nodes)
    return float(np.asarray(values, float) @ rule.weights)


def check_dim(owner: str, dim: int) -> None:
    """Raises a `ValueError` in the name of `owner` unless `dim` is a positive integer."""
    count(owner, "dim", dim, advice="pass dim=1")


def check_homogeneous(owner: str, game: MFG, dim: int) -> None:
    """Refuses a Lagrangian that depends on time or place.

    Raises:
        ValueError: if the Hamiltonian at one costate differs between places or times.
    """
    p = jnp.linspace(0.4, 0.9, dim)
    here = hamiltonian(game, 0.0, jnp.zeros(dim), p)
    there = hamiltonian(game, 0.7 * game.dynamics.horizon, jnp.linspace(1.0, -0.5, dim), p)
    if not jnp.allclose(here, there, rtol=1e-5):
        raise ValueError(
            f"`{owner}` got the Lagrangian `{type(game.lagrangian).__name__}`, which depends on "
            "time or place, expected a cost of speed alone, such as `Kinetic()`."
        )


def radial(lagrangian: AbstractLagrangian, dim: int) -> bool:
    """Whether L depends on v by |v| alone, as far as two directions tell."""
    first, second = np.zeros(dim), np.full(dim, 0.5 / np.sqrt(dim))
    first[0] = 0.5
    cost = lambda v: lagrangian(0.0, jnp.zeros(dim), jnp.asarray(v, float))
    return bool(jnp.allclose(cost(first), cost(second), rtol=1e-5))
