"""JKO steps by input-convex networks: each step is the optimal transport grad psi.

    psi_(k+1) = argmin over convex psi of
        E[ V(T(x)) - log det Hess psi(x) + |T(x) - x|^2 / (2 h) ],     T = grad psi,  x ~ rho_k

For F = KL(. || exp(-V) / Z) this is F + W2^2 / (2 h) of the law of T(x), up to a constant: that law
has log rho_(k+1)(T(x)) = log rho_k(x) - log det Hess psi(x), and T is optimal since psi is convex.
Unlike a flow (`mfgen.zoo._jko`) there is nothing to integrate, one map is one step; but the Hessian
and its determinant are exact, which is for low and moderate dimension.

The steps are those of `jko_game`: particles move on straight lines, L = |v|^2 / (2 h).

References:
    P. Mokrov et al., "Large-scale Wasserstein gradient flows" (2021), arXiv 2106.00736.
    D. Alvarez-Melis, Y. Schiff, Y. Mroueh, "Optimizing functionals on the space of probabilities
    with input convex neural networks" (2021), arXiv 2106.00774.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._empirical import Empirical
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.models._base import AbstractModel
from mfgen.models._convex import Transport, input_convex
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._state import Checkpoints
from mfgen.zoo._jko_laws import Chain, Settings, move


class ConvexStep(AbstractObjective):
    """E[-log pi(T(x)) - log det Hess psi(x) + |T(x) - x|^2 / (2 h)], for `Transport` alone.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
    """

    target: AbstractEvaluable

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        if not isinstance(model, Transport):
            raise TypeError(
                f"`ConvexStep` got a model `{type(model).__name__}`, expected the gradient of a "
                "convex function: pass `Transport(input_convex(dim, key=key), step)`."
            )

        def one(x: State) -> Scalar:
            end, growth = model.potential.stretched(x)
            cost = jnp.sum((end - x) ** 2) / (2 * model.step)
            return cost - growth - self.target.log_density(end)

        return jnp.mean(jax.vmap(one)(batch))


def convex_jko_chain(
    target: AbstractEvaluable,
    start: AbstractDensity,
    *,
    step: float,
    steps: int,
    particles: int = 4096,
    iterations: int = 1000,
    key: Key,
    learning_rate: float = 1e-2,
    batch_size: int = 1024,
    average: float = 0.99,
    callback: Callable[[int, float], Any] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    **network: Any,
) -> Chain:
    """JKO steps of KL(. || target) by input-convex networks.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        start: rho_0, which is drawn from; of `Empirical` data all are taken.
        step: h, in units of the flow's time.
        steps: the number of steps.
        particles: points that are carried from step to step; of data, all there are.
        iterations: of the training of a step, which begins near the identity.
        key: random key.
        learning_rate, batch_size, average: of the training, as in `fit`.
        callback: called with the steps taken and the divergence.
        checkpoints, resume: as in `jko_chain`.
        network: `width` and `depth` of `input_convex`.

    Raises:
        ValueError: for settings out of range.
        NonFiniteError: if a training breaks down.

    Source: P. Mokrov et al. (2021), arXiv 2106.00736, with the exact determinant.
    """
    draw_key, key = jax.random.split(key)
    settings = Settings(
        step, steps, particles, iterations, key, callback, None, None, checkpoints, resume
    )

    def block(game: MFG, _: AbstractModel | None, points: Batch, key: Key):
        model_key, key = jax.random.split(key)
        convex = input_convex(points.shape[1], key=model_key, around=Empirical(points), **network)
        sizes = Transport(convex, step), ConvexStep(target), learning_rate
        return Gradient(*sizes, batch_size=batch_size, average=average), key

    return move("convex_jko_chain", target, start, block, _carried, settings, key=draw_key)


@eqx.filter_jit
def _carried(game: MFG, model: Transport, points: Batch) -> tuple[Batch, Float[Array, "n"]]:
    return jax.lax.map(model.potential.stretched, points, batch_size=256)
