"""A game's own cost along its own paths, for any dynamics: what its controls minimise.

    J = E int_0^T e^{-r t} L(t, X, v) dt + int_0^T e^{-r t} I(rho_t) dt + e^{-r T} M(rho_T)

with particles that follow the model's control (`mfgen.simulate._trajectory`), with noise or
without, and the population known by them (`mfgen.losses._crowd`). The integral of I over time is
one over a systematic sample of the nodes of the paths, with an offset at random: pairs of particles
at every node would take most of a step. Two questions can be asked of J:

    "moving"    the crowd moves with the control: the planner's optimum, J itself
    "frozen"    the crowd is held still, each particle pays dI/drho and dM/drho in it: where no
                particle gains by another control, the equilibrium

As d/dh F(rho + h mu) = E_mu dF/drho, the two have one derivative in a potential game; a coupling
that is no first variation has the second meaning alone. With data at the start and M = c KL it is
maximum likelihood, from an energy the reverse KL divergence.

A discount hides what comes late: of controls after some 1 / r nothing is learnt from J. But what is
best from the start on is best from any time on, in the money of that time. "anytime" counts

    J_s = e^{r s} ( all that is paid from s on ),     s a node of the paths at random,

whose derivative moves the controls from s on; those before only say where the particles are then.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2; J.-M. Lasry, P.-L.
Lions, "Mean field games" (2007); R. Carmona, M. Lauriere, "Convergence analysis of machine learning
algorithms for the numerical solution of mean field control and games" (2022), arXiv 1908.01613.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mfgen import _check
from mfgen._types import Batch, Key, Scalar
from mfgen.densities._base import AbstractEvaluable
from mfgen.functionals._functional import AbstractFunctional, evaluable
from mfgen.games._game import MFG
from mfgen.losses import _crowd as crowds
from mfgen.losses._crowd import Crowd
from mfgen.losses._later import later
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import Pays, name_of
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._clock import time_grid
from mfgen.simulate._diffusion import StochasticHeun
from mfgen.simulate._divergence import ExactDivergence
from mfgen.simulate._ends import fresh_starts, initial_density
from mfgen.simulate._integrator import AbstractStep, RungeKutta4
from mfgen.simulate._trajectory import Node, check_method, follow

_PARTS = (("interaction", "interaction"), ("terminal", "terminal cost"))


class GameCost(AbstractObjective):
    """The whole cost J of a game along its own paths.

    Arguments:
        method: how paths are followed; `StochasticHeun(32)` with noise, `RungeKutta4(16)` without.
        crowd: "moving" for the planner's optimum, "frozen" for the equilibrium.
        starts: "initial" for fresh draws of the initial density, or "batch".
        density: what a cost is told that asks for rho at a place: "followed", log rho along the
            paths, which is exact and for games without noise (from samples, up to a constant, for
            costs such as `KL` and `Entropy`); or "kernel", an estimate from the
            batch, whose bias is of the order of the squared width.
        nodes: at about how many nodes of the paths the interaction is paid in each step.
        anytime: whether costs count from a node at random on, for games with a discount; the value
            of the loss is then the mean of J_s.

    Raises (by `check`, before a training):
        ValueError, TypeError: naming the part of the game that cannot be paid for so, and what can.

    Example:

        model = mfgen.models.ot_flow_potential(game, key=key)
        model, history = mfgen.fit(game, model, mfgen.GameCost(), steps=2000, key=key)
    """

    method: AbstractStep | None = None
    crowd: Literal["moving", "frozen"] = eqx.field(static=True, default="moving")
    starts: Literal["initial", "batch"] = eqx.field(static=True, default="initial")
    density: Literal["followed", "kernel"] = eqx.field(static=True, default="followed")
    nodes: int = eqx.field(static=True, default=8, converter=plain)
    anytime: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        count("GameCost", "nodes", self.nodes)
        _check.one_of(
            self,
            crowd=("moving", "frozen"),
            starts=("initial", "batch"),
            density=("followed", "kernel"),
        )

    def needs_data(self, game: MFG) -> bool:
        return self.starts == "batch"

    def pays(self, game: MFG) -> Pays:
        # J is the game's own: all of its parts, at the weights that they have in it.
        return Pays(lagrangian=1.0, interaction=1.0, terminal=1.0)

    def check(self, game: MFG) -> None:
        initial_density("GameCost", game)
        check_method("GameCost", game, default_method(game, self.method), False)
        if game.terminal.constrains:
            raise ValueError(
                f"`GameCost` got the terminal cost `{name_of(game.terminal)}`, which is zero or "
                "infinite, expected a finite cost: train it by `Augmented(Gradient(model, "
                "GameCost()))`, which puts a divergence whose weight rises in its place."
            )
        self._known(game)

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        start_key, path_key, node_key = jax.random.split(key, 3)
        first_key = jax.random.fold_in(node_key, 1)
        if self.starts == "initial":
            batch = fresh_starts("GameCost", game, batch, key=start_key)
        known = self._known(game)
        follows = crowds.followed in known
        method = default_method(game, self.method)
        first = jnp.zeros(len(batch), batch.dtype)
        if follows:
            first = _logarithms(game, batch)
        # int e^{-r t} I dt by the trapezoidal rule, at every stride-th of its nodes.
        times = time_grid(game.dynamics, method.count(None)).astype(batch.dtype)
        steps, begins = jnp.diff(times), jnp.asarray(0)
        if self.anytime:
            begins = jax.random.randint(first_key, (), 0, len(steps))
        counted = jnp.where(jnp.arange(len(steps)) >= begins, steps, 0.0)
        weights = 0.5 * (jnp.pad(counted, (1, 0)) + jnp.pad(counted, (0, 1)))
        fade = jnp.exp(-game.discount * jnp.maximum(times - times[begins], 0.0))
        weights = weights * fade
        stride = max(1, len(steps) // self.nodes)
        offset = jax.random.randint(node_key, (), 0, stride)

        def paid(number: Int[Array, ""] | int, points: Batch, logs: Float[Array, "n"]) -> Scalar:
            nothing = jnp.zeros((), batch.dtype)
            if game.interaction.vanishes:
                return nothing
            pay = lambda: self._paid(game.interaction, known[0], points, logs)
            due = ((number + offset) % stride == 0) & (weights[number] > 0)
            rate = jax.lax.cond(due, pay, lambda: nothing)
            return stride * weights[number] * rate

        def add(total: Scalar, node: Node) -> tuple[Scalar, None]:
            state = node.state
            before = jnp.where(node.number == begins, jnp.mean(state.paid), 0.0)
            return total - before + paid(node.number, state.x, first - state.log_det), None

        begin = paid(0, batch, first)
        exact = ExactDivergence() if follows else None
        moved = game, model
        if self.anytime:
            moved = later(game, model, times[begins], begins > 0)
        path = follow(*moved, batch, add, begin, key=path_key, method=method, divergence=exact)
        end, total = path.end, jnp.mean(path.end.paid) + path.total
        if not game.terminal.vanishes:
            last = self._paid(game.terminal, known[1], end.x, first - end.log_det)
            total = total + fade[-1] * last
        return total

    def _paid(self, functional: AbstractFunctional, known, points: Batch, logarithms) -> Scalar:
        pay = crowds.moving if self.crowd == "moving" else crowds.frozen
        return pay(functional, known, points, logarithms).astype(points.dtype)

    def _known(self, game: MFG) -> list[Crowd]:
        varied = self.crowd == "frozen"
        return [known_of("GameCost", game, part, self.density, varied=varied) for part in range(2)]


def _logarithms(game: MFG, batch: Batch) -> Float[Array, "n"]:
    """log rho(0) where paths begin; 0 at samples, whose costs ask for it up to a constant."""
    initial = game.initial
    if isinstance(initial, AbstractEvaluable):
        return jax.vmap(initial.log_density)(batch)
    return jnp.zeros(len(batch), batch.dtype)


def default_method(game: MFG, given: AbstractStep | None = None) -> AbstractStep:
    """The method for paths in training: the given one, or the default of the game's kind."""
    if given is not None:
        return given
    return RungeKutta4(16) if game.dynamics.deterministic else StochasticHeun(32)


def known_of(
    owner: str, game: MFG, part: int, density: str, *, varied: bool, here: bool = False
) -> Crowd:
    """The law of a batch by which a cost of a game can be evaluated.

    Arguments:
        owner: in whose name a cost is refused.
        game: with an initial density.
        part: 0 for the interaction, 1 for the terminal cost.
        density: "followed" or "kernel", as of `GameCost`.
        varied: whether the first variation is asked for, not the value.
        here: whether its value at a particle will do, and no derivative is asked for.

    Raises:
        TypeError: if the cost asks for more than is known.
    """
    initial = initial_density(owner, game)
    attribute, said = _PARTS[part]
    functional, dim = getattr(game, attribute), initial.dim
    if crowds.suits(functional, crowds.empirical, dim, varied=varied):
        return crowds.empirical
    name = f"`{owner}` got the {said} `{name_of(functional)}`"
    smoothed = crowds.smoothed(game.domain)
    if not crowds.suits(functional, smoothed, dim, varied=varied):
        kind, other = ("first variation", "moving") if varied else ("value", "frozen")
        raise TypeError(
            f"{name}, whose {kind} cannot be had of particles, nor of their kernel estimate, "
            f'expected one that can: take GameCost(crowd="{other}"), or another cost.'
        )
    if density == "kernel":
        return smoothed
    kernel = 'pass density="kernel" for an estimate from the batch'
    if not game.dynamics.deterministic:
        raise TypeError(
            f"{name}, which asks for log rho, in a game with noise, where it is not known along "
            f"the paths, expected a cost of samples: take `SinkhornDivergence` or `MMD`, or "
            f"{kernel}."
        )
    if varied and not here:
        raise TypeError(
            f'{name}, which asks for log rho, with crowd = "frozen", where its derivative at a '
            f'place is not known, expected "moving", or {kernel}.'
        )
    if not (varied or crowds.shifts(functional, dim)):
        evaluable(owner, "initial density", initial)
    return crowds.followed
