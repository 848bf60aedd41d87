"""Proximal flows: a generative flow whose end is compared with data by a critic.

    dX = v dt,   rho(0) = N(0, spread^2 I),   L = (k / 2) |v|^2,   M = weight D(rho(T) || data)
    D = sup over g with Lip(g) <= Lambda of { E_rho g - log E_data e^g }

The kinetic energy is the W2 proximal: it makes the paths straight and the flow unique. The bound on
the slope of the critic is the W1 proximal: D is then finite and its gradient bounded even where the
data lie on a manifold, which a divergence of densities does not survive. Without the first (k = 0)
the energy of the flow grows, without the second (no bound) the training breaks down.

Only samples are needed, and paths are followed forward; the HJB residual and the terminal condition
tie the potential to an optimal one.

References: H. Gu, M. A. Katsoulakis, L. Rey-Bellet, B. J. Zhang (2024), arXiv 2407.11901;
J. Birrell et al. (2022), arXiv 2011.05953.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Given, Key, Scalar
from mfgen.costs._cost import Kinetic
from mfgen.data._validate import check_samples
from mfgen.densities._empirical import Empirical
from mfgen.densities._gaussian import isotropic
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._lipschitz import AbstractDual, LipschitzDivergence
from mfgen.games._game import MFG
from mfgen.losses._flow import PathCost, TransportCost
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._paths import Paths
from mfgen.losses._shorthands import PathCostate, PathHJB
from mfgen.models._base import AbstractModel
from mfgen.models._critic import lipschitz_critic
from mfgen.models._potential import ot_flow_potential
from mfgen.simulate._integrator import RungeKutta4
from mfgen.trainers._alternating import Alternating, Ascent, adversarial_optimiser
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._run import Run, run
from mfgen.trainers._trainer import Problem

_FRESH = Paths(RungeKutta4(8, unroll=True), starts="initial")


class ProximalGame(eqx.Module):
    """The game for a divergence with its critic.

    Arguments:
        dim: dimension of the data.
        cost: k of the kinetic energy.
        weight: of the divergence.
        spread: of the first density, N(0, spread^2 I).
    """

    dim: int = eqx.field(static=True)
    cost: float = eqx.field(static=True, default=1.0)
    weight: float = eqx.field(static=True, default=1.0)
    spread: float = eqx.field(static=True, default=1.0)

    def __call__(self, dual: AbstractDual) -> MFG:
        start = isotropic(jnp.zeros(self.dim), self.spread)
        return MFG(Integrator(), Kinetic(self.cost), self.weight * dual, initial=start)


class _EndAlone(AbstractObjective):
    """The terminal cost without the cost of the way, the proximal of W2 left out on purpose."""

    def needs_data(self, game: MFG) -> bool:
        return False

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return PathCost(_FRESH)(game, model, batch, key=key)


def w1w2_flow(
    data: Given,
    *,
    key: Key,
    steps: int,
    cost: float = 1.0,
    weight: float = 10.0,
    lipschitz: float = 1.0,
    spread: float = 1.0,
    residual: float = 0.1,
    terminal: float = 0.1,
    transport: bool = True,
    width: int = 64,
    depth: int = 2,
    critic: dict[str, Any] | None = None,
    critic_steps: int = 2,
    critic_rate: float = 2e-3,
    learning_rate: float = 5e-3,
    batch_size: int = 256,
    **settings: Any,
) -> tuple[MFG, Run]:
    """Trains a W1 + W2 proximal flow.

    Arguments:
        data: samples `[n, dim]`, in units in which N(0, spread^2 I) is near.
        key: random key.
        steps: of the flow.
        cost: k of the kinetic energy.
        weight: of the divergence.
        lipschitz: Lambda, the largest slope of the critic. No optimal particle moves farther than
            weight Lambda / cost: in many dimensions noise of deviation 1 is sqrt(dim) away.
        spread: of the first density.
        residual: weight of the HJB residual along the paths, 0 for none.
        terminal: weight of the mismatch of grad U and the critic's gradient at the end, 0 for none.
        transport: whether the kinetic energy is paid; without it there is no HJB equation either.
        width, depth: of the potential.
        critic: options of `lipschitz_critic`.
        critic_steps, critic_rate: of its ascent before each step of the flow.
        learning_rate, batch_size: of the flow, and of both.
        settings: options of `run`.

    Returns:
        The game with the trained critic in its terminal cost, and the `Run`.
    """
    points = jnp.asarray(check_samples(data, name="data"))
    dim = points.shape[1]
    flow_key, critic_key, fit_key = jax.random.split(key, 3)
    options = {"lipschitz": lipschitz, "around": Empirical(points)} | (critic or {})
    dual = LipschitzDivergence(lipschitz_critic(dim, key=critic_key, **options), Empirical(points))
    game = ProximalGame(dim, cost, weight, spread)(dual)
    model = ot_flow_potential(game, width=width, depth=depth, key=flow_key)
    objective = 1.0 * _EndAlone()
    if transport:
        objective = PathCost(_FRESH) + TransportCost(_FRESH)
        if residual:
            objective = objective + residual * PathHJB(paths=_FRESH)
        if terminal:
            objective = objective + terminal * PathCostate(_FRESH)
    ascent = Ascent(critic_steps, critic_rate, batch_size=batch_size)
    rates = learning_rate, steps
    trainer = proximal_trainer(model, objective, ascent, rates)
    found = run(trainer, Problem(game), steps=steps, key=fit_key, **settings)
    return trainer.game(Problem(game), found.state), found


def proximal_trainer(
    model: AbstractModel,
    objective: AbstractObjective,
    ascent: Ascent,
    rates: tuple[float, int],
) -> Alternating:
    """The trainer of a proximal flow, with the parameters of the last step as its result.

    Arguments:
        model, objective: of the flow.
        ascent: of the critic, whose batches have the size of the flow's.
        rates: the flow's learning rate, and the steps over which it decays.
    """
    optimiser = adversarial_optimiser(float(rates[0]), rates[1])
    flow = Gradient(
        model,
        objective,
        optimiser=optimiser,
        batch_size=ascent.batch_size,
        average=0.0,
    )
    return Alternating(ascent, flow, RungeKutta4(8))
