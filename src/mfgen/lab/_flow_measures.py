"""Measures of flows: what their particles pay, how well they are inverted, what an energy is worth.

All follow particles through the trained flow with 40 steps of the Runge-Kutta method, more than it
was trained with.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch
from mfgen.games._game import MFG
from mfgen.lab._context import Context, arriving
from mfgen.losses._flow import TransportCost
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._paths import Paths
from mfgen.losses._shorthands import PathHJB
from mfgen.metrics._estimate import Estimate, mean_number
from mfgen.metrics._importance import effective_fraction, log_normaliser, log_weights
from mfgen.models._base import AbstractModel
from mfgen.simulate._flow import inverse_error
from mfgen.simulate._integrator import RungeKutta4
from mfgen.simulate._likelihood import log_prob

_FINE = Paths(RungeKutta4(40))
_INVERTED = 1000  # points carried there and back


def transport_cost(context: Context) -> Estimate:
    """E int L(t, x, v) dt over the particles."""
    context.require_flow()
    return _mean(_along(TransportCost(_FINE), context))


def path_residual(context: Context) -> Estimate:
    """E int |R| dt of the HJB equation along the particles' paths."""
    context.require_flow()
    context.require_potential()
    return _mean(_along(PathHJB(paths=_FINE), context))


def inversion(context: Context) -> Estimate:
    """How far points end from where they began, carried to the reference and back."""
    context.require_flow()
    with arriving():
        return _mean(inverse_error(context.game, context.trained, context.arrived[:_INVERTED]))


def effective_samples(context: Context) -> Estimate:
    """The part of the samples that their importance weights leave."""
    return effective_fraction(_weights(context))


def normaliser(context: Context) -> Estimate:
    """log Z by importance weights; zero for the law of a toy, whose density is normalised."""
    return log_normaliser(_weights(context))


def normaliser_error(context: Context) -> Estimate:
    """|log Z| by importance weights, for an energy whose exact log Z is zero.

    The error is that of log Z: of a value within two of them, zero itself cannot be told.
    """
    context.require_truth()
    found = log_normaliser(_weights(context))
    return Estimate(abs(float(found.value)), float(found.standard_error))


def _weights(context: Context) -> np.ndarray:
    energy = context.require_energy()
    drawn = context.generated
    with arriving():
        densities = log_prob(context.game, context.trained, drawn)
    return np.asarray(log_weights(energy, densities, drawn))


def _starts(context: Context) -> Batch:
    if context.game.data_at == "start":
        return context.fresh
    assert context.game.initial is not None
    return context.game.initial.sample(context.settings.samples, key=context.key)


def _along(term: AbstractObjective, context: Context) -> Float[Array, "n"]:
    return _each(term, context.game, context.trained, jnp.asarray(_starts(context)))


@eqx.filter_jit
def _each(
    term: AbstractObjective, game: MFG, model: AbstractModel, points: Batch
) -> Float[Array, "n"]:
    key = jax.random.key(0)
    return jax.lax.map(lambda x: term(game, model, x[None], key=key), points, batch_size=256)


def _mean(values: Float[Array, "n"]) -> Estimate:
    return mean_number(np.asarray(values, np.float64))
