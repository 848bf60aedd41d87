"""Neural models of a score-based game: a scalar potential and a vector field.

In game time t = S - s, with eta(s, .) the noised data,

    ScorePotential   U(t, x) = -Phi(s, x),   Phi a network for log eta(s, x)
    ScoreField       p(t, x) = -F(s, x),     F a network for grad log eta(s, x)

Beside a point its label may stand, of which the network is a function, and along which the score
has no component. Both are preconditioned by the noise level (`mfgen.models._precondition`). The
reference at the noisy end is wired into the potential; with a small Hamilton-Jacobi-Bellman
residual Phi is then a normalised log-density at every time, read off in one evaluation.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2 (U = -log eta);
T. Salimans, J. Ho, "Should EBMs model the energy or the score?" (2021) (potentials as scores).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfgen import _check
from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.models._base import AbstractNormalised, AbstractPotential, AbstractVectorField
from mfgen.models._mlp import MLP, InnerProduct
from mfgen.models._precondition import AbstractScaling
from mfgen.models._precondition import scaling as scaling_of
from mfgen.models._reference import AbstractReference, Drifted, Fixed, Moments


class ScorePotential(AbstractPotential):
    """A scalar network for the value function U = -log eta of a score-based game.

    Arguments:
        precondition: noise-aware scaling, see `scaling(game)`.
        trunk: takes a point `[dim]`, its label beside it, and a level, returns shape `[1]`.
        reference: what the trunk corrects.
    """

    precondition: AbstractScaling
    trunk: Callable
    reference: AbstractReference

    def log_density(self, s: Time, y: State) -> Scalar:
        """Phi(s, y), the model's log-density of the data noised up to time s."""
        z = self.precondition.inputs(s, y)
        correction = self.trunk(z, self.precondition.level(s))[0]
        return self.reference.log_density(s, y) + self.precondition.amplitude(s) * correction

    def __call__(self, t: Time, x: State) -> Scalar:
        return -self.log_density(self.precondition.noising.horizon - t, x)


class ScoreField(AbstractVectorField):
    """A vector network for the score grad log eta of a score-based game.

    Arguments:
        precondition: noise-aware scaling, see `scaling(game)`.
        trunk: takes a point `[dim]`, its label beside it, and a level, returns shape `[dim]`.
        reference: what the trunk corrects.
    """

    precondition: AbstractScaling
    trunk: Callable
    reference: AbstractReference

    def score(self, s: Time, y: State) -> Array:
        """The model's grad log eta(s, y) along the point, shape `[dim]`."""
        scaling = self.precondition
        correction = self.trunk(scaling.inputs(s, y), scaling.level(s))
        return self.reference.score(s, y) + scaling.gain(s) * correction

    def costate(self, t: Time, x: State) -> Costate:
        found = -self.score(self.precondition.noising.horizon - t, x)
        return jnp.pad(found, (0, x.size - found.size))


def score_potential(
    game: MFG,
    *,
    key: Key,
    inner: bool = False,
    reach: float = 3.0,
    reference: AbstractNormalised | None = None,
    **network: Any,
) -> ScorePotential:
    """A `ScorePotential` with a fully connected trunk for a score-based game.

    Arguments:
        game: from `score_based`.
        key: random key for the initial weights.
        inner: whether the scalar is an inner product of the point with a vector output
            (`InnerProduct`), better from about 8 dimensions on.
        reach: deviations of the data beyond which that product grows no more; smaller where the
            potential has mass far outside of the data.
        reference: a mixture or kernel estimate that the network corrects, itself not trained; the
            correction is zero to begin with. The Gaussian of the data's moments if absent.
        network: options of `MLP` (`width`, `depth`, `frequencies`, `scale`, `activation`).
    """
    _check.options("score_potential", MLP, network)
    scaling = scaling_of(game)
    dim = scaling.dim + scaling.labels
    trunk = _trunk(dim, dim + 1 if inner else 1, reference, key, network)
    return ScorePotential(
        scaling, InnerProduct(trunk, reach) if inner else trunk, _reference(scaling, reference)
    )


def score_field(
    game: MFG, *, key: Key, reference: AbstractNormalised | None = None, **network: Any
) -> ScoreField:
    """A `ScoreField` with a fully connected trunk; arguments as for `score_potential`."""
    _check.options("score_field", MLP, network)
    scaling = scaling_of(game)
    dim = scaling.dim
    trunk = _trunk(dim + scaling.labels, dim, reference, key, network)
    if reference is None and not scaling.noising.closed:
        return ScoreField(scaling, trunk, Drifted(scaling))
    return ScoreField(scaling, trunk, _reference(scaling, reference))


def _trunk(
    dim: int, out: int, reference: AbstractNormalised | None, key: Key, network: dict[str, Any]
) -> MLP:
    trunk = MLP(dim, out, key=key, **network)
    return trunk if reference is None else silent(trunk)


def silent(trunk: MLP) -> MLP:
    """The trunk with an output of zero."""
    last = jax.tree.map(jnp.zeros_like, trunk.layers[-1], is_leaf=eqx.is_array)
    return eqx.tree_at(lambda t: t.layers[-1], trunk, last)


def _reference(scaling: AbstractScaling, potential: AbstractNormalised | None) -> AbstractReference:
    if potential is None:
        return Moments(scaling)
    return Fixed(potential.untrained(), scaling.noising.horizon, scaling.labels)
