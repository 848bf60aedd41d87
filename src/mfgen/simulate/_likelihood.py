"""Log-densities of the density that a game models, at given points.

`FlowLikelihood` carries a point x along the deterministic flow to the reference at the other end,
back to the first density rho_0, or in a normalizing flow on to the last one:

    log rho(T, x) = log rho_0(x(0)) + log |det dx(0)/dx|        data at the end
    log rho(0, x) = log pi(x(T)) + log |det dx(T)/dx|           data at the start

which is the model's own density, the one its `ProbabilityFlow` samples have. `OneShot` reads the
value function of a score-based game, log rho(T, x) = -U(T, x): one evaluation, no integration. It
is exact for models that are densities by construction; others are divided by their integral, which
`mfgen.metrics._potential_density` estimates.

A score-based game ends at the smallest noise ratio of its noising. What is given is therefore the
log-density of the data times signal plus noise at that level, taken at x as it is.

References: R. T. Q. Chen et al. (2018), arXiv 1806.07366; Y. Song et al. (2021), arXiv 2011.13456,
appendix D.2; B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2 (U = -log eta).
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key, Scalar, State
from mfgen.densities._base import Number
from mfgen.derive._score_based import score_dynamics
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.models._base import AbstractModel, AbstractPotential
from mfgen.simulate._base import (
    at_points,
    check_finished,
    check_played,
    check_points,
    map_chunks,
)
from mfgen.simulate._divergence import AbstractDivergence, ExactDivergence, check_flow
from mfgen.simulate._ends import evaluable_reference
from mfgen.simulate._flow import transport
from mfgen.simulate._integrator import AbstractIntegrator, RungeKutta4
from mfgen.simulate._solved import of_solutions


class LogDensity(NamedTuple):
    """A log-density in nats; scalars for one point, `[n]` for many.

    Attributes:
        value: the log-density.
        standard_error: of the value over the probes of the divergence, 0 if it is exact, nan for a
            single probe; of a normalised potential that of log Z.
        time: the game time reached; that of the reference unless a step limit was hit.
    """

    value: Float[Array, "..."]
    standard_error: Float[Array, "..."]
    time: Float[Array, "..."]


class AbstractLikelihood(eqx.Module):
    """A method that gives the last density of a game.

    To add one, give `__call__` for a single point, and in `check` refuse games and models it is not
    valid for with a `TypeError` that names the method.
    """

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key | None) -> LogDensity:
        """log rho(T, x) with what is known of its error."""

    def check(self, game: MFG, model: AbstractModel) -> None:
        """Raises a `TypeError` unless the method is valid for both; called once, untraced."""
        return


class FlowLikelihood(AbstractLikelihood):
    """The density of the deterministic flow, by the change of variables along its paths.

    Arguments:
        integrator: `RungeKutta4(steps)` or `Adaptive(tolerance)`.
        divergence: `ExactDivergence()`, or `Hutchinson(probes)` in high dimension.

    Raises:
        TypeError: on games with diffusion that are not score-based, or whose reference has no
            log-density.
    """

    integrator: AbstractIntegrator = RungeKutta4(40)
    divergence: AbstractDivergence = ExactDivergence()

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key | None) -> LogDensity:
        goal = evaluable_reference("FlowLikelihood", game)
        moved = transport(
            game,
            model,
            x,
            integrator=self.integrator,
            divergence=self.divergence,
            key=key,
            reverse=game.data_at == "end",
        )
        value = goal.log_density(moved.point) + jnp.mean(moved.log_det)
        error = jnp.zeros_like(value) if self.divergence.exact else _standard_error(moved.log_det)
        return LogDensity(value, error, moved.time)

    def check(self, game: MFG, model: AbstractModel) -> None:
        check_flow("ProbabilityFlow", game)


class OneShot(AbstractLikelihood):
    """The value function itself, log rho(T, x) = -U(T, x) - log Z, in one evaluation.

    Arguments:
        log_normaliser: log Z; with 0, U is taken to be normalised. `potential_density` finds it,
            and its `method` is this one.
        error: the standard error of log Z, the same at all points.

    Raises:
        TypeError: on vector fields, which have no value function, and on games that are not
            score-based, where U is not -log rho.
    """

    log_normaliser: Number = 0.0
    error: Number = 0.0

    def __check_init__(self):
        _check.a_finite_number("OneShot", "log_normaliser", self.log_normaliser)
        _check.a_finite_number("OneShot", "error", self.error)
        if isinstance(self.error, (int, float)) and self.error < 0:
            raise ValueError(
                f"`OneShot` got error = {self.error}, expected a standard error: pass error >= 0."
            )

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key | None) -> LogDensity:
        self.check(game, model)
        assert isinstance(model, AbstractPotential)
        value = -model(jnp.asarray(game.dynamics.horizon, x.dtype), x) - self.log_normaliser
        return LogDensity(value, jnp.full_like(value, self.error), jnp.zeros_like(value))

    def check(self, game: MFG, model: AbstractModel) -> None:
        if not isinstance(model, AbstractPotential):
            raise TypeError(
                f"`OneShot` got a model `{type(model).__name__}`, expected a potential: a vector "
                "field knows grad U only, not U; use `FlowLikelihood` or a `ScorePotential`."
            )
        score_dynamics("OneShot", game, named=True)


# The two methods with their defaults, for those who want no options.
_NAMED: dict[str, AbstractLikelihood] = {"flow": FlowLikelihood(), "one_shot": OneShot()}
Method = AbstractLikelihood | str


@of_solutions
def log_prob(
    game: MFG,
    model: AbstractModel,
    x: Given,
    *,
    key: Key | None = None,
    method: Method = "flow",
    chunk: Count = 256,
) -> Float[Array, "n"]:
    """The log-density of the model at points x, in nats; differentiable in x and the model.

    In a score-based game it is the density at the smallest noise ratio, where the game ends.

    Arguments:
        game, model: the game and the model of its costate.
        x: the points, `[n, dim]`.
        key: random key, needed by `Hutchinson`.
        method: `FlowLikelihood()` or `OneShot()`; "flow" and "one_shot" stand for them.
        chunk: points at once; lower it if memory is short.

    Returns:
        log rho(T, x), `[n]`. See `estimate_log_prob` for its standard error.

    Raises:
        ValueError: on points of another shape, nan among them, a missing key, or a name that
            stands for no method.
        TypeError: if the method does not apply to the game or the model.
        Unfinished: a `RuntimeError`, if an adaptive integration hits its step limit, or values are
            not finite; it keeps the values of the points that arrived.

    Example:

        log_prob(game, model, x)
        log_prob(game, model, x, method="one_shot")
        log_prob(game, model, x, key=key, method=FlowLikelihood(divergence=Hutchinson(16)))
    """
    return _evaluate("log_prob", game, model, x, key, method, chunk).value


def estimate_log_prob(
    game: MFG,
    model: AbstractModel,
    x: Given,
    *,
    key: Key | None = None,
    method: Method = "flow",
    chunk: Count = 256,
) -> LogDensity:
    """`log_prob` with its standard error over the probes; arguments as there."""
    return _evaluate("estimate_log_prob", game, model, x, key, method, chunk)


def _evaluate(
    owner: str,
    game: MFG,
    model: AbstractModel,
    x: Given,
    key: Key | None,
    method: Method,
    chunk: Count,
) -> LogDensity:
    check_played(owner, game, model)
    if not model.has_density:
        raise TypeError(
            f"`{owner}` got a `{type(model).__name__}` model, whose samples follow no density of "
            "the game, expected a model of the game: pass the model without guidance."
        )
    if isinstance(method, str):
        method = _named(owner, method)
    _check.of_kind(owner, "method", method, AbstractLikelihood, "pass `FlowLikelihood()`")
    points = check_points(owner, game, x)
    chunk = count(owner, "chunk", chunk)
    method.check(game, model)
    with at_points(owner, game, model, points.shape[1]):
        result = _log_densities(game, model, points, key, method, chunk)
    last = 0.0 if game.data_at == "end" else game.dynamics.horizon
    check_finished(owner, points, result.time, last, result.value)
    return result


@eqx.filter_jit
def _log_densities(
    game: MFG,
    model: AbstractModel,
    x: Batch,
    key: Key | None,
    method: AbstractLikelihood,
    chunk: int,
) -> LogDensity:
    if key is None:
        return map_chunks(lambda x: method(game, model, x, key=None), x, chunk)
    keys = jax.random.split(key, x.shape[0])
    return map_chunks(lambda pair: method(game, model, pair[0], key=pair[1]), (x, keys), chunk)


def _named(owner: str, name: str) -> AbstractLikelihood:
    if name not in _NAMED:
        raise ValueError(
            f"`{owner}` got method = {name!r}, expected "
            f"{' or '.join(map(repr, _NAMED))}, or a method such as `FlowLikelihood(...)`: pass "
            'method="one_shot" for one evaluation of the potential.'
        )
    return _NAMED[name]


def _standard_error(estimates: Float[Array, "k"]) -> Scalar:
    count = estimates.shape[0]
    if count == 1:
        return jnp.full((), jnp.nan, estimates.dtype)
    return jnp.std(estimates, ddof=1) / jnp.sqrt(count)
