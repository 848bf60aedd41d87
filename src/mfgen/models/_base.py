"""The interfaces of models, which give the costate p = grad U of a game, in game time.

A model represents the value function U(t, x) of a game (a scalar potential), or only its gradient
p(t, x) (a vector field). Everything else is derived from p and the game:

    control        v*(t, x) = optimal control at the costate p(t, x), or the model's own
    velocity       b*(t, x) = a + g v*, the drift of a particle that plays v*
    score          -p(t, x); in a score-based game it is grad log rho(t, x), since U = -log rho
    probability flow   b* - (sigma^2 / 2) grad log rho, whose paths carry the same densities

A potential always has a gradient field; a vector field need not have a potential, which is why
the Hamilton-Jacobi-Bellman residual is taken of potentials, and its gradient of vector fields. A
control given as such (`mfgen.models._control`) has neither: it is what plain normalizing flows and
flow matching learn.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Control, Costate, Scalar, State, Time
from mfgen.derive._hamiltonian import drift, optimal_control, steered
from mfgen.games._game import MFG
from mfgen.math import _autodiff
from mfgen.math._autodiff import Jet
from mfgen.math._linear_map import image, square


class AbstractModel(eqx.Module):
    """A representation of the costate of a game.

    To add one, subclass `AbstractPotential` and give `__call__(t, x)`, the value U, or subclass
    `AbstractVectorField` and give `costate(t, x)`, its gradient.

    Attributes:
        has_density: whether its particles follow a density of the game, as those of one control of
            one game do.
    """

    has_density: ClassVar[bool] = True

    @abstractmethod
    def costate(self, t: Time, x: State) -> Costate:
        """p(t, x) = grad U(t, x), shape `[dim]`, at game time t."""

    def control(self, game: MFG, t: Time, x: State) -> Control:
        """The control that is played, the optimal one at the costate, shape `[control]`."""
        return optimal_control(game, t, x, self.costate(t, x))

    def inside(self, x: State) -> State:
        """Where a particle stands that has come to x: there, unless walls turned it back."""
        return x

    def valued(self) -> "AbstractPotential":
        """The model as a value function U(t, x).

        Raises:
            TypeError: if it is a control or a costate alone.
        """
        raise TypeError(f"the model is a control, `{type(self).__name__}`, not a value")


class AbstractPotential(AbstractModel):
    """A scalar model: the value function U(t, x) of a game."""

    @abstractmethod
    def __call__(self, t: Time, x: State) -> Scalar:
        """U(t, x), a scalar, at game time t."""

    def costate(self, t: Time, x: State) -> Costate:
        return jax.grad(self, argnums=1)(t, x)

    def valued(self) -> "AbstractPotential":
        return self

    def jet(self, t: Time, x: State, fixed: int = 0) -> Jet:
        """U, dt U, grad U and lap U; potentials that know a closed form override it.

        The Laplacian leaves the last `fixed` coordinates out, those of a label.
        """
        if not fixed:
            return _autodiff.jet(self)(t, x)
        point, label = x[:-fixed], x[-fixed:]
        found = _autodiff.jet(lambda t, point: self(t, jnp.concatenate([point, label])))(t, point)
        return found._replace(gradient=self.costate(t, x))


class AbstractVectorField(AbstractModel):
    """A model of the costate alone; it has no value function."""


class AbstractNormalised(AbstractPotential):
    """A potential of a score game for which exp(-U(t, .)) is a density for all parameters."""

    def untrained(self) -> "AbstractNormalised":
        """The same potential in the form that is cheapest to evaluate, if it is not trained."""
        return self


class Potential(AbstractPotential):
    """The model given by a function: U(t, x) = function(t, x).

    Arguments:
        function: takes a scalar time and a point of shape `[dim]`, returns a scalar.
    """

    function: Callable

    def __check_init__(self):
        _check.a_function("Potential", "function", self.function, "t and x that returns a scalar")

    def __call__(self, t: Time, x: State) -> Scalar:
        return self.function(t, x)


class VectorField(AbstractVectorField):
    """The model given by a costate field: p(t, x) = function(t, x).

    Arguments:
        function: takes a scalar time and a point of shape `[dim]`, returns shape `[dim]`.
    """

    function: Callable

    def __check_init__(self):
        _check.a_function("VectorField", "function", self.function, "t and x that returns [dim]")

    def costate(self, t: Time, x: State) -> Costate:
        return self.function(t, x)


def score(model: AbstractModel, t: Time, x: State) -> State:
    """The score grad log rho(t, x) = -p(t, x) that a model of a score-based game gives.

    Arguments:
        model: a potential or a score network.
        t: the time of the game: 0 is all noise, its horizon the data.
        x: the place, shape `[dim]`; so has the result.

    Example:

        game = score_based(VP(), Empirical(points))
        model = score_potential(game, key=key)
        score(model, 0.5, jnp.zeros(2))
        jax.vmap(score, (None, None, 0))(model, 0.5, points)
    """
    fix = "pass the model first, such as `score_potential(game, key=key)`"
    _check.of_kind("score", "model", model, AbstractModel, fix)
    with _check.evaluated("score", f"a model `{type(model).__name__}`", x):
        return -model.costate(t, x)


def velocity(game: MFG, model: AbstractModel, t: Time, x: State) -> State:
    """The velocity a + g v* of a particle that plays the model's control, without its noise.

    Arguments:
        game, model: the game and what plays it.
        t: the time of the game.
        x: the place, shape `[dim]`; so has the result.

    Example:

        game = MFG(Integrator(), Kinetic(), KL(target), initial=Empirical(points))
        velocity(game, ot_flow_potential(game, key=key), 0.0, jnp.zeros(2))
    """
    _check.of_kind("velocity", "game", game, MFG, "pass the game first and then the model")
    fix = "pass a model such as `ot_flow_potential(game, key=key)`"
    _check.of_kind("velocity", "model", model, AbstractModel, fix)
    with _check.evaluated("velocity", f"a model `{type(model).__name__}`", x):
        return steered(game, t, x, model.control(game, t, x))


def probability_flow(game: MFG, model: AbstractModel, t: Time, x: State) -> State:
    """The velocity b* + sigma sigma^T p / 2 of the deterministic flow of a score-based game.

    Holds for games in which grad log rho = -p (Y. Song et al. 2021, arXiv 2011.13456, eq. 13).
    """
    costate = model.costate(t, x)
    half_variance = 0.5 * square(game.dynamics.diffusion(t))
    return drift(game, t, x, costate) + image(half_variance, costate)
