"""The two ends of a game: where its data are, and the reference at the other.

    data_at = "end"     reference = rho(0), data at T      a sampler runs forward
    data_at = "start"   data = rho(0), reference at T      a sampler runs backward

The reference of a normalizing flow is the density that its terminal cost compares rho(T) with. Of
c KL(. || pi) + E h it is the law where that is least, proportional to pi exp(-h / c).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
    weighted_moments,
)
from mfgen.densities._labels import Labelled, LabelledPoints
from mfgen.functionals._functional import KL, AbstractFunctional, Scaled, Sum, needs_population
from mfgen.games._game import MFG

_PROPOSALS = 16  # draws of pi for each that is kept
_LOOK = 4096  # draws by which moments are told
_EFFECTIVE = 0.05  # least effective number of draws, of their number


def initial_density(owner: str, game: MFG) -> AbstractDensity:
    """The density that particles start from.

    Raises:
        ValueError: in the name of `owner`, for a game without one.
    """
    if game.initial is None:
        raise ValueError(
            f"`{owner}` got a game without an initial density, expected one that particles start "
            "from: declare `MFG(..., initial=density)`."
        )
    return game.initial


def fresh_starts(owner: str, game: MFG, batch: Batch, *, key: Key) -> Batch:
    """As many draws of the initial density as a batch has rows, in the place of these.

    Raises:
        ValueError: in the name of `owner`, for a game without an initial density.
    """
    drawn = initial_density(owner, game).sample(len(batch), key=key)
    return drawn.astype(batch.dtype)


def reference(owner: str, game: MFG) -> AbstractDensity:
    """The density at the end where the data are not.

    Raises:
        ValueError: in the name of `owner`, for a game without an initial density.
        TypeError: for a normalizing flow whose terminal cost has no goal, or a game with labels
            whose reference has none.
    """
    density = _other_end(owner, game)
    if game.dynamics.fixed and not isinstance(density, Labelled | LabelledPoints):
        raise TypeError(
            f"`{owner}` got a game with labels whose reference is `{type(density).__name__}`, "
            "expected a law of points beside their labels: pass `Labelled(law, labels)`."
        )
    return density


def evaluable_reference(owner: str, game: MFG) -> AbstractEvaluable:
    """The reference, with a log-density.

    Raises:
        ValueError, TypeError: in the name of `owner`, as `reference`, and without a log-density.
    """
    density = reference(owner, game)
    if isinstance(density, Tilted):
        raise _without_goal(owner, game)
    if not isinstance(density, AbstractEvaluable):
        raise TypeError(
            f"`{owner}` got a game whose reference is `{type(density).__name__}`, expected one "
            "with a known log-density: pass `Gaussian(mean, covariance)`, as `initial` or, for a "
            "flow from data, as the goal of the terminal cost."
        )
    return density


def _other_end(owner: str, game: MFG) -> AbstractDensity:
    if game.data_at == "end":
        return initial_density(owner, game)
    goal = game.terminal.goal or _least(owner, game.terminal)
    if goal is None:
        raise _without_goal(owner, game)
    return goal


def _without_goal(owner: str, game: MFG) -> TypeError:
    return TypeError(
        f"`{owner}` got a flow with the terminal cost `{type(game.terminal).__name__}`, "
        "expected one that names a density, such as `KL(reference)`: it is the law that "
        "samples are carried back from."
    )


class Tilted(AbstractDensity):
    """The law proportional to pi exp(-f), by importance resampling of draws of pi.

    Arguments:
        law: pi, which can be sampled.
        tilt: f(x).
    """

    law: AbstractDensity
    tilt: Callable[[State], Scalar]

    def __init__(self, law: AbstractDensity, tilt: Callable[[State], Scalar]):
        self.law, self.tilt = law, tilt

    @property
    def dim(self) -> int:
        return self.law.dim

    def weighted(self, n: int, *, key: Key) -> tuple[Batch, Float[Array, "n"]]:
        """Draws of pi with the logarithms of their weights."""
        points = self.law.sample(n, key=key)
        return points, -jax.vmap(self.tilt)(points)

    def sample(self, n: int, *, key: Key) -> Batch:
        draw_key, choice_key = jax.random.split(key)
        points, logarithms = self.weighted(_PROPOSALS * n, key=draw_key)
        heights = jnp.cumsum(jax.nn.softmax(logarithms))
        chosen = heights[-1] * jax.random.uniform(choice_key, (n,), heights.dtype)
        return points[jnp.searchsorted(heights, chosen)]

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        points, logarithms = self.weighted(_LOOK, key=jax.random.key(0))
        return points, jax.nn.softmax(logarithms)


def _least(owner: str, terminal: AbstractFunctional) -> AbstractDensity | None:
    """The law at which c KL(. || pi) + E h is least, pi exp(-h / c); `None` for other costs.

    Raises:
        TypeError: in the name of `owner`, where draws of pi do not tell of it.
    """
    if not isinstance(terminal, Sum):
        return None
    named = [term for term in terminal.terms if term.goal is not None]
    if len(named) != 1 or not isinstance(_bare(named[0]), KL):
        return None
    goal = named[0].goal
    assert goal is not None
    others = [term for term in terminal.terms if term is not named[0]]
    origin = jnp.zeros(goal.dim)
    if any(needs_population(term, origin) for term in others):
        return None
    weight = named[0].variation(goal, goal.sample(1, key=jax.random.key(0))[0])
    found = Tilted(goal, lambda x: Sum(tuple(others)).variation(None, x) / weight)
    part = 1 / (_LOOK * jnp.sum(jnp.square(found.particles()[1])))
    if not isinstance(part, Tracer) and not part >= _EFFECTIVE:  # traced: it was looked at before
        raise TypeError(
            f"`{owner}` got a flow whose terminal cost is least at a law that draws of "
            f"`{type(goal).__name__}` do not tell of (their effective number is {part:.2g} of "
            "them), expected one near it: put that law into `KL` itself."
        )
    return found


def _bare(cost: AbstractFunctional) -> AbstractFunctional:
    while isinstance(cost, Scaled):
        cost = cost.functional
    return cost
