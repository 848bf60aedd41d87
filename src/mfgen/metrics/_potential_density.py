"""The density of a potential, exp(-U) / Z: one evaluation where the flow needs an integration.

In a score-based game U(T, x) = -log rho(T, x). A trained potential satisfies that up to a constant
and an error, so exp(-U) is a density once it is divided by

    Z = int exp(-U(T, x)) dx = E[w],

the mean of importance weights of points that the model itself draws (`mfgen.simulate._weighted`),
or that populations carry down its noise levels (`mfgen.simulate._sequential`).
It is another density than that of the model's flow: the flow adds up what is wrong with grad U at
all noise levels, exp(-U) / Z shows what is wrong with U at the last one.

Refused are weights of which the few largest decide: with an effective fraction below 1/20 log Z is
too small by its own error or more, and two errors hold it in 7 of 10 samples instead of 19 of 20
(lognormal weights, 512 to 8,192 points). And a potential that has mass where nothing was drawn
(`mfgen.metrics._escape`); of a peak far outside it is warned. A mode of exp(-U) among the points
where the sampler does not go is not seen: it makes Z too small.

References: A. B. Owen, "Monte Carlo theory, methods and examples" (2013), chapter 9; B. J. Zhang,
M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2 (U = -log eta).
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix, Weights, weighted_moments
from mfgen.derive._score_based import score_dynamics
from mfgen.games._game import MFG
from mfgen.math import _entry
from mfgen.math._count import count
from mfgen.metrics import _door
from mfgen.metrics._escape import FAR, check_escape, extent
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._likelihood import evaluate
from mfgen.metrics._populations import told
from mfgen.models._base import AbstractModel, AbstractPotential
from mfgen.simulate._base import at_points, check_played
from mfgen.simulate._integrator import positive_count
from mfgen.simulate._likelihood import OneShot
from mfgen.simulate._metropolis import energy_of
from mfgen.simulate._weighted import AbstractProposal, FlowProposal, Weighted

_FRACTION, _NUMBER = 0.05, 50  # least effective part of the points, and least number
_FLOW = FlowProposal()


class DegenerateWeights(ValueError):
    """Importance weights that do not tell the integral of exp(-U).

    Attributes:
        effective_fraction: effective number of points over their number.
        log_normaliser: log Z by these weights, with an error that is too small.
    """

    def __init__(self, message: str, effective_fraction: Estimate, log_normaliser: Estimate):
        super().__init__(message)
        self.effective_fraction, self.log_normaliser = effective_fraction, log_normaliser


class PotentialDensity(AbstractEvaluable):
    """exp(-U(T, x)) / Z of a potential, in the units of its game; `potential_density` makes one.

    As an energy for samplers of other libraries take `value_and_gradient`, or `log_density` itself:
    functions of one point that can be traced and differentiated.

    Attributes:
        game, potential: the score-based game and its U.
        log_normaliser: log Z and its standard error.
        effective_fraction: of the weights behind it, between 1/n and 1.
        drawn: the points behind it, with their log weights.
    """

    game: MFG
    potential: AbstractPotential
    log_normaliser: Estimate
    effective_fraction: Estimate
    drawn: Weighted

    def __init__(
        self,
        game: MFG,
        potential: AbstractPotential,
        log_normaliser: Estimate,
        effective_fraction: Estimate,
        drawn: Weighted,
    ):
        self.game, self.potential, self.drawn = game, potential, drawn
        # As arrays: numbers of Python are constants of a program, compiled anew for each.
        self.log_normaliser = Estimate(*map(jnp.asarray, log_normaliser))
        self.effective_fraction = Estimate(*map(jnp.asarray, effective_fraction))

    @property
    def dim(self) -> int:
        return self.drawn.points.shape[1]

    @property
    def method(self) -> OneShot:
        """The same density as a method of `log_prob` and `estimate_log_prob`."""
        return OneShot(*self.log_normaliser)

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("PotentialDensity", x, self.dim)
        value = self.potential(jnp.asarray(self.game.dynamics.horizon, x.dtype), x)
        return -value - self.log_normaliser.value

    def value_and_gradient(self, x: State) -> tuple[Scalar, State]:
        """log rho and its gradient at one point, as gradient-based Monte Carlo asks for them."""
        return jax.value_and_grad(self.log_density)(x)

    def log_prob(self, x: Given) -> Float[Array, "n"]:
        """log rho at points `[n, dim]`; it warns of those far outside of all that was drawn."""
        points = _door.held("PotentialDensity.log_prob", "x", x, least=1)
        centre, farthest = extent(self.drawn)
        distances = np.linalg.norm(np.asarray(points) - centre[None, :], axis=1)
        outside = int(np.sum(distances > FAR * farthest))
        if outside:
            warnings.warn(
                f"`PotentialDensity.log_prob` got {outside} of {len(points)} points that lie up to "
                f"{distances.max() / farthest:.3g} times as far from the centre as the farthest of "
                f"the {len(self.drawn.points)} points it was normalised by, expected at most "
                f"{FAR}: the potential is untrained there, and its density is not known.",
                stacklevel=2,
            )
        return evaluate(self.log_density, points)

    def sample(self, n: int, *, key: Key) -> Batch:
        """Importance resampling: `n` of the points drawn, by their weights, with replacement.

        As many are independent as are effective; `correct` moves them apart.
        """
        chosen = jax.random.categorical(key, self.drawn.log_weights, shape=(n,))
        return self.drawn.points[chosen]

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        return self.drawn.points, jax.nn.softmax(self.drawn.log_weights)


def potential_density(
    game: MFG,
    model: AbstractModel,
    n: Count = 2048,
    *,
    key: Key,
    proposal: AbstractProposal = _FLOW,
    chunk: Count = 256,
) -> PotentialDensity:
    """The normalised density exp(-U) / Z of a potential at the end of a score-based game.

    Z is found once, and kept: evaluations of the density are then evaluations of U.

    Arguments:
        game, model: a score-based game, and a potential of it.
        n: points by which Z is found, at least 50.
        key: random key.
        proposal: how they are drawn: `FlowProposal()`, or `SequentialProposal()` where that one's
            divergence is dear or its weights degenerate.
        chunk: points at once.

    Raises:
        TypeError: on a game that is not score-based or has labels, or a model that is no potential.
        DegenerateWeights: a `ValueError`, where the effective fraction of the points is below .05
            or their effective number below 50.
        ValueError: where U is not finite at points drawn, or exp(-U) has mass far outside of them;
            it warns where exp(-U) has a peak there.

    Example:

        law = potential_density(game, model, key=key)
        law.log_normaliser, law.effective_fraction
        law.log_prob(x)
        log_prob(game, model, x, method=law.method)
    """
    owner = "potential_density"
    check_played(owner, game, model)
    _check.a_key(owner, key)
    _check.of_kind(owner, "proposal", proposal, AbstractProposal, "pass `FlowProposal()`")
    n = count(owner, "n", n, least=_NUMBER)
    chunk = positive_count(owner, "chunk", chunk)
    score_dynamics(owner, game, named=True)
    energy_of(owner, model, 0.0, jnp.zeros(0))
    if game.dynamics.fixed:
        raise TypeError(
            f"`{owner}` got a game with labels, whose Z is another one for each label, expected "
            "one without: train a potential of the points of one label."
        )
    assert game.initial is not None
    with at_points(owner, game, model, game.initial.dim):
        drawn = proposal(game, model, n, key=key, chunk=chunk)
    broken = int(np.sum(~np.isfinite(np.asarray(drawn.log_weights))))
    if broken:
        raise ValueError(
            f"`{owner}` got a potential that is not finite at {broken} of {n} points that its own "
            "sampler draws, expected finite numbers: train it further."
        )
    n = len(drawn.points)
    fraction, normaliser = told(drawn)
    if fraction.value < _FRACTION or fraction.value * n < _NUMBER:
        raise DegenerateWeights(
            f"`{owner}` got importance weights that have degenerated: {n} points count as "
            f"{fraction.value * n:.3g} (a fraction {fraction.value:.2g}), expected a fraction of "
            f"at least {_FRACTION} and {_NUMBER} points: below, log Z = {normaliser} is too small "
            "and so is its error. Pass `proposal=SequentialProposal()`, or one of more levels, "
            "draw more points, or train with `HJB()`: exp(-U) is not yet the density of the "
            "samples.",
            fraction,
            normaliser,
        )
    assert isinstance(model, AbstractPotential)
    law = PotentialDensity(game, model, normaliser, fraction, drawn)
    check_escape(owner, law.log_density, drawn)
    return law
