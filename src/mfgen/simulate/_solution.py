"""One type for what solves a game: grids, formulas, and models that were trained.

    Solution(game, model, density, result, stats)

with a model, which plays a control (a value function U(t, x), its gradient, or the control alone),
and the law rho(t) of the particles that play it. `solution` makes one of any model: its particles
are followed, and a value that was trained by costs, so that it is right up to a function of time,
is tied (`mfgen.models._tied`). A `result` claims nothing that was not measured: a training ends as
`TRAINED`, and `certify` says how well it solves the game.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Control, Costate, Count, Given, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.derive._action import final_mismatch
from mfgen.derive._hamiltonian import steered
from mfgen.derive._residual import hjb
from mfgen.derive._score_based import is_score_based
from mfgen.functionals._functional import needs_log_density
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.math._linear_map import source_size
from mfgen.models._base import AbstractModel, AbstractNormalised, AbstractPotential
from mfgen.models._tied import Tied
from mfgen.simulate._base import (
    at_points,
    check_finished,
    check_played,
    check_points,
    map_chunks,
)
from mfgen.simulate._ends import initial_density
from mfgen.simulate._labels import sample_given
from mfgen.simulate._likelihood import log_prob
from mfgen.simulate._particle_path import FlowPath, ParticlePath, particle_path
from mfgen.simulate._sampler import sample
from mfgen.simulate._solved import AbstractSolution
from mfgen.simulate._trajectory import Method, Trajectories, trajectories

_TIES, _ROWS = 50, 256  # times and particles of the means by which a value is tied
_CHEAP = 32  # dimensions up to which second derivatives are taken unasked
_KINDS = ("auto", "particles", "flow", "kernel")


class Status(Enum):
    """How a solver ended."""

    CONVERGED = "converged"
    STALLED = "stalled"
    DIVERGED = "diverged"
    TRAINED = "trained"


class Result(eqx.Module):
    """How a solver ended, in a word and in a sentence.

    Attributes:
        status: converged, stalled or diverged; trained, where nothing is claimed.
        message: a sentence with the figures behind the word, and the fix where one is known.
    """

    status: Status = eqx.field(static=True)
    message: str = eqx.field(static=True)

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED


def trained(what: str, steps: int, loss: float | None = None) -> Result:
    """The result of a training: what was done, and no claim.

    Arguments:
        what: was trained, by what, such as "OTFlowPotential by GameCost".
        steps: of the training.
        loss: the last one, if it is known.
    """
    end = "" if loss is None else f", the last loss {loss:.4g}"
    said = f"Trained {what}: {steps} steps{end}; `certify` measures how well it solves the game."
    return Result(Status.TRAINED, said)


class Solution(AbstractSolution):
    """A solution of a game, or an attempt at one.

    It is known from time 0 to the horizon and, where it was found on a lattice, in its box: beyond
    are no particles, and a value is refused (nan where time or place are traced). The functions
    `sample`, `log_prob`, `trajectories` and `sample_given` take it in place of a game and a model,
    or are called as its methods.

    Attributes:
        game: the game.
        model: what plays: a value function U(t, x), or a control that has none.
        density: the path t -> rho(t); `None` where it is not known.
        result: how the solver ended.
        stats: figures of the solver by name, such as its iterations.

    Example:

        parabola = Linear(lambda x: 0.5 * x @ x)
        game = MFG(Integrator(0.5), Kinetic(), parabola, initial=Gaussian([1.0], 0.2))
        solution = solve(game, Riccati())
        x = solution.sample(100, key=key)
        solution.value(0.0, jnp.zeros(1)), solution.density(1.0).moments()
    """

    game: MFG
    model: AbstractModel
    density: Callable[[Time], AbstractDensity] | None
    result: Result
    stats: Mapping[str, float] = eqx.field(default_factory=dict)

    @property
    def value(self) -> AbstractPotential:
        """U(t, x), a potential.

        Raises:
            TypeError: if the model is a control or a costate, and no value.
        """
        return self.model.valued()

    def costate(self, t: Time, x: State) -> Costate:
        """grad U(t, x), shape `[dim]`."""
        return self.model.costate(t, x)

    def control(self, t: Time, x: State) -> Control:
        """The control v*, shape `[control]`."""
        return self.model.control(self.game, t, x)

    def velocity(self, t: Time, x: State) -> State:
        """The drift a + g v* of a particle, shape `[dim]`."""
        return steered(self.game, t, x, self.control(t, x))

    def sample(self, n: Count, **options: Any) -> Batch:
        """Draws from the density that is modelled, `[n, dim]`; options as of `sample`."""
        return sample(self.game, self.model, n, **options)

    def sample_given(self, label: Given, n: int, **options: Any) -> Float[Array, "n dim"]:
        """Draws of the points that have a label; options as of `sample_given`."""
        return sample_given(self.game, self.model, label, n, **options)

    def trajectories(self, x: Batch, **options: Any) -> Trajectories:
        """Paths of particles that start at x, `[n, dim]`; options as of `trajectories`."""
        return trajectories(self.game, self.model, x, **options)

    def log_prob(self, x: Given, *, chunk: int = 256, **options: Any) -> Float[Array, "n"]:
        """The log-density that is modelled at points x, `[n]`; options as of `log_prob`.

        By the flow where there is one: without noise, and in score-based games. Elsewhere it is
        read from the density path, where that has a logarithm.

        Raises:
            TypeError: for a game with noise whose law is known by particles alone.
        """
        game, law = self.game, None
        if options.get("method") is not None or game.dynamics.deterministic or is_score_based(game):
            return log_prob(game, self.model, x, chunk=chunk, **options)
        if self.density is not None:
            law = self.density(game.dynamics.horizon)
        if not isinstance(law, AbstractEvaluable):
            raise TypeError(
                "`log_prob` got a solution with noise whose law is known by particles alone, "
                'expected one with a log-density: pass solution(..., density="kernel") for their '
                "kernel estimate, solve the game by `Grid`, or train a flow by its samples."
            )
        return _log_densities(law, check_points("log_prob", game, x), chunk)


@eqx.filter_jit
def _log_densities(law: AbstractEvaluable, points: Batch, chunk: int) -> Float[Array, "n"]:
    return map_chunks(law.log_density, points, chunk)


def solution(
    game: MFG,
    model: AbstractModel,
    *,
    key: Key,
    particles: Count = 2048,
    method: Method | None = None,
    density: Literal["auto", "particles", "flow", "kernel"] = "auto",
    tie: bool | None = None,
    result: Result | None = None,
    stats: Mapping[str, float] | None = None,
) -> Solution:
    """A model of a game as its solution: to be sampled, certified and compared like a grid's.

    Arguments:
        game: with an initial density.
        model: a potential, a costate or a control field, trained or not.
        key: random key of the particles.
        particles: how many are followed for the density path.
        method: how, as of `trajectories`.
        density: "particles" for the cloud alone, "flow" for its exact log-density in a game without
            noise, "kernel" for a kernel estimate; "auto" takes the cloud unless a cost asks for
            log rho, and then the flow if there is one.
        tie: whether a function of time is added to a value, so that its HJB residual and its end
            are right in the mean; costs leave it free. Done for potentials in up to 32 dimensions
            if absent.
        result: how the training ended.
        stats: figures of it.

    Raises:
        TypeError: for what is no game or model; a flow in a game that has none; a value that is to
            be tied, but has no HJB equation.
        ValueError: a game without an initial density, or a model of other points or controls.
        Unfinished: a `RuntimeError`, if particles do not stay finite.

    Example:

        model, history = fit(game, model, GameCost(), steps=2000, key=key)
        print(certify(solution(game, model, key=key)))
    """
    check_played("solution", game, model)
    _check.a_key("solution", key)
    number = count("solution", "particles", particles)
    if density not in _KINDS:
        raise ValueError(f"`solution` got density = {density!r}, expected one of {_KINDS}.")
    _check_model(game, model)
    path = _path(game, model, number, method, density, key)
    if tie or (tie is None and _ties(game, model)):
        model = _tied(game, model, path, strict=bool(tie))
    said = f"A `{type(model).__name__}`: `certify` measures how well it solves the game."
    return Solution(game, model, path, result or Result(Status.TRAINED, said), stats or {})


def _check_model(game: MFG, model: AbstractModel) -> None:
    dim = initial_density("solution", game).dim
    x, t = (jax.ShapeDtypeStruct(shape, jnp.result_type(float)) for shape in ((dim,), ()))
    with at_points("solution", game, model, dim):
        control = jax.eval_shape(lambda t, x: model.control(game, t, x), t, x)
    wanted = (source_size(game.dynamics.gain(jnp.zeros(())), dim),)
    if control.shape != wanted:
        raise ValueError(
            f"`solution` got a model `{type(model).__name__}` whose control has the shape "
            f"{control.shape}, expected {wanted}: pass a model that was made from this game."
        )


def _path(
    game: MFG, model: AbstractModel, number: int, method: Method | None, kind: str, key: Key
) -> ParticlePath | FlowPath:
    initial = initial_density("solution", game)
    costs = [cost for cost in (game.interaction, game.terminal) if not cost.constrains]
    asked = any(needs_log_density(cost, initial.dim) for cost in costs)
    flows = game.dynamics.deterministic and isinstance(initial, AbstractEvaluable)
    if kind == "flow" and not flows:
        raise TypeError(
            '`solution` got density="flow" for a game with noise, or from an initial density '
            'without a logarithm, expected a flow from a known density: pass density="kernel".'
        )
    start_key, path_key = jax.random.split(key)
    starts = initial.sample(number, key=start_key)
    found = _followed(game, model, starts, method, path_key)
    last = game.dynamics.horizon
    check_finished("solution", found.points[-1], jnp.full(number, last), last)
    if kind == "auto":
        kind = ("flow" if flows else "kernel") if asked else "particles"
    cloud = particle_path(game, found, smoothed=kind == "kernel")
    return FlowPath(game, model, cloud) if kind == "flow" else cloud


@eqx.filter_jit
def _followed(game: MFG, model: AbstractModel, starts: Batch, method: Method | None, key: Key):
    return trajectories(game, model, starts, key=key, method=method)


def _ties(game: MFG, model: AbstractModel) -> bool:
    """Whether a function of time is worth adding unasked: a density by construction has none."""
    kind = isinstance(model, AbstractPotential) and not isinstance(model, AbstractNormalised)
    return kind and initial_density("solution", game).dim <= _CHEAP


def _tied(game: MFG, model: Any, path: ParticlePath | FlowPath, *, strict: bool) -> AbstractModel:
    """The potential with a function of time; as it is where the game has no HJB equation."""
    cloud = path.particles if isinstance(path, FlowPath) else path
    stride = -(-(len(cloud.times) - 1) // _TIES)
    times = jnp.append(cloud.times[:-1:stride], cloud.times[-1])
    try:
        if strict and not isinstance(model, AbstractPotential):
            raise TypeError(f"`solution` got tie=True for a control `{type(model).__name__}`.")
        residuals, mismatch = _means(game, model, path, times)
    except (TypeError, ValueError, NotImplementedError):
        if strict:
            raise
        return model
    if not bool(jnp.isfinite(mismatch) & jnp.isfinite(residuals).all()):
        return model
    return Tied(model, times, residuals, mismatch, game.discount)


@eqx.filter_jit
def _means(
    game: MFG, u: AbstractPotential, path: ParticlePath | FlowPath, times: Float[Array, "k"]
) -> tuple[Float[Array, "k"], Scalar]:
    """Means over particles of the HJB residual at times, and of what U lacks at the end."""
    places = lambda rho: rho.particles()[0][:_ROWS]

    def at(t: Scalar) -> Scalar:
        rho = path(t)
        return jnp.mean(jax.vmap(lambda x: hjb(game, u, lambda _: rho, t, x))(places(rho)))

    rho = path(times[-1])
    missed = jax.vmap(lambda x: final_mismatch(game, u, rho, x))(places(rho))
    return jax.lax.map(at, times), jnp.mean(missed)
