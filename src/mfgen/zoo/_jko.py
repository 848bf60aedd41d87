"""JKO steps by networks: a gradient flow as a chain of normalizing flows, in any dimension.

    rho_(k+1) = argmin over rho of  KL(rho || pi) + W2^2(rho, rho_k) / (2 h)

Each step is a game of its own, from the particles of the step before,

    dX = v dt on [0, 1],   rho(0) = rho_k,   L = |v|^2 / (2 h),   M = KL(rho(1) || pi)

since the least kinetic energy between two laws is W2^2 / 2. It is a potential flow with k = 1 / h
and pi as its reference; log rho_k at the particles is a constant of the step, so pi need only be
known up to one. Log-densities are carried along, log rho_(k+1) = log rho_k - log |det|.

From data to N(0, I) the steps are one normalizing flow, each a block of h of its time with unit
kinetic cost (`Chain.flow`): it is followed backward for samples, forward for likelihoods.

References: C. Xu, X. Cheng, Y. Xie, "Normalizing flow neural networks by JKO scheme" (2023), arXiv
2212.14424; R. Jordan, D. Kinderlehrer, F. Otto (1998).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.games._game import MFG
from mfgen.losses._flow import PathLikelihood, TransportCost
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._paths import Paths
from mfgen.models._base import AbstractModel
from mfgen.models._potential import ot_flow_potential
from mfgen.simulate._divergence import ExactDivergence
from mfgen.simulate._integrator import RungeKutta4
from mfgen.simulate._trajectory import follow
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._history import Progress
from mfgen.trainers._state import Checkpoints
from mfgen.zoo._jko_laws import Chain, Settings, move

_PATHS = Paths(RungeKutta4(8, unroll=True))
_FINE = RungeKutta4(20)


def jko_chain(
    target: AbstractEvaluable,
    start: AbstractDensity,
    *,
    step: float,
    steps: int,
    particles: int = 4096,
    iterations: int = 300,
    key: Key,
    learning_rate: float = 2e-2,
    batch_size: int = 256,
    objective: AbstractObjective | None = None,
    callback: Callable[[int, float], Any] | None = None,
    record: Callable[[int, Progress], Any] | None = None,
    every: int | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    **network: Any,
) -> Chain:
    """JKO steps of KL(. || target) by networks.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        start: rho_0, which is drawn from; of `Empirical` data all are taken.
        step: h, in units of the flow's time.
        steps: the number of steps.
        particles: points that are carried from step to step; of data, all there are.
        iterations: of the training of a step; each begins at the network of the step before.
        key: random key.
        learning_rate, batch_size: of the training.
        objective: of each step; the likelihood and the transport cost if absent.
        callback: called with the steps taken and the divergence.
        record: called with a step's index and each record of its training, one every `every`.
        checkpoints: where to save the trainings of all steps, each in a folder of its own inside.
        resume: continue from them; steps that were trained are not trained again.
        network: options of `ot_flow_potential`.

    Raises:
        ValueError: for settings out of range.
        NonFiniteError: if a training breaks down.
    """
    draw_key, model_key, key = jax.random.split(key, 3)
    settings = Settings(
        step, steps, particles, iterations, key, callback, record, every, checkpoints, resume
    )
    term = PathLikelihood(_PATHS) + TransportCost(_PATHS) if objective is None else objective

    def block(game: MFG, model: AbstractModel | None, points: Batch, key: Key):
        begun = ot_flow_potential(game, key=model_key, **network) if model is None else model
        return Gradient(begun, term, learning_rate, batch_size=batch_size, average=0.99), key

    return move("jko_chain", target, start, block, carried, settings, key=draw_key)


@eqx.filter_jit
def carried(game: MFG, model: AbstractModel, points: Batch) -> tuple[Batch, Float[Array, "n"]]:
    """The ends of particles after a step, and log |det| of their paths."""
    nothing = lambda total, node: (total, None)
    exact = ExactDivergence()
    found = follow(
        game, model, points, nothing, (), key=jax.random.key(0), method=_FINE, divergence=exact
    )
    return found.end.x, found.end.log_det
