"""Objectives along the paths of a game's particles, all of them in one pass.

    dx/dt = b(t, x) = a + g v(t, x),   x(0) from the batch or the initial density
    log |det dx(T)/dx(0)| = int_0^T div b dt
    term  = int_0^T rate(t, x(t)) dt + final(x(0), x(T), log |det|),   averaged over the batch

A rate may need the value function's derivatives or directional derivatives of b; what several
terms need is computed once. Where a potential's control is proportional to its gradient, v = -m g
grad U, the divergence is div a - g^2 m lap U: the potential's own jet then gives all there is.
Paths are cut into steps first and differentiated then, chunk by chunk of the batch. Where steps
adapt, they are chosen for many particles together by the root mean square of their errors.

References: D. Onken et al., "OT-Flow" (2021), arXiv 2006.00104 (all terms as channels of one
equation); W. Grathwohl et al., "FFJORD" (2019), arXiv 1810.01367 (probes frozen within a path).
"""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Control, Key, Scalar, State, Time
from mfgen.derive._hamiltonian import optimal_control, steered
from mfgen.functionals._functional import evaluable
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractBundle, AbstractObjective, Terms, Weighted
from mfgen.losses._places import AbstractPlaces
from mfgen.math._autodiff import Jet, divergence
from mfgen.math._chunk import chunked_mean
from mfgen.models._base import AbstractModel, AbstractPotential, velocity
from mfgen.simulate._divergence import AbstractDivergence, ExactDivergence, moving_directions
from mfgen.simulate._ends import fresh_starts
from mfgen.simulate._integrator import AbstractIntegrator, RungeKutta4

_TOGETHER = 1024  # particles whose steps are chosen together
_APART = 4  # directions that are pushed one by one
_LATE = 1e-4  # part of the horizon that rounding may leave


class Here(NamedTuple):
    """A particle on its way.

    Attributes:
        t, x: time and place.
        control: v(t, x).
        velocity: b = a + g v.
        divergence: div b, exact or estimated.
        jet: the value function's derivatives; the Laplacian is zero where none is needed.
        pushed: Db z for the directions z of the divergence, `[m, dim]`; none in a jet's pass.
        exact: whether the directions are the unit vectors.
        log_density: log rho(t, x), nan where no term needs it.
    """

    t: Time
    x: State
    control: Control
    velocity: State
    divergence: Scalar
    jet: Jet | None
    pushed: Float[Array, "m dim"] | None
    exact: bool
    log_density: Scalar | float = float("nan")


class Path(NamedTuple):
    """A particle that has arrived: its start, its end, and log |det| of the derivative."""

    start: State
    end: State
    log_det: Scalar


class Paths(AbstractPlaces):
    """Paths of particles without noise; terms with equal ones share a pass.

    Arguments:
        integrator: `RungeKutta4(steps)`, or `Adaptive(tolerance)`.
        divergence: `ExactDivergence()`, or `Hutchinson(probes)`, drawn once for each path.
        starts: "batch", or "initial" for fresh draws of the game's initial density.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"hjb", "terminal", "terminal_gradient"})
    prefix: ClassVar[str] = "Path"
    integrator: AbstractIntegrator = RungeKutta4(8, unroll=True)
    divergence: AbstractDivergence = ExactDivergence()
    starts: Literal["batch", "initial"] = eqx.field(static=True, default="batch")

    def __check_init__(self):
        _check.of_kinds(
            self,
            integrator=(AbstractIntegrator, "pass `RungeKutta4(8)`, or `Adaptive(1e-5)`"),
            divergence=(AbstractDivergence, "pass `ExactDivergence()`"),
        )
        _check.one_of(self, starts=("batch", "initial"))

    def needs_data(self) -> bool:
        return self.starts == "batch"

    def admits(self, owner: str, game: MFG) -> None:
        deterministic(owner, game)

    def advice(self) -> str:
        return self.integrator.advice()

    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        start_key, probe_key = jax.random.split(key)
        if self.starts == "initial":
            batch = fresh_starts("Paths", game, batch, key=start_key)
        weights, parts = zip(*terms, strict=True)
        for part in parts:
            part.admits(game, model)
        uses = frozenset().union(*(part.needs(game, batch[0]) for part in parts))
        first = _first_density(game, uses)

        span = jnp.asarray(game.dynamics.horizon, batch.dtype)
        zero = jnp.zeros((), batch.dtype)

        def slope(model: AbstractModel, t: Time, state, directions, density: Scalar):
            at, sign = game.domain.folded(state[0])
            here = here_at(game, model, self.divergence, uses, t, at, directions)
            here = here._replace(log_density=density - state[1])
            rates = tuple(part.rate(game, here) for part in parts)
            found = sign * here.velocity, here.divergence, rates
            return jax.tree.map(lambda rate: jnp.asarray(rate, batch.dtype), found)

        def arrived(model: AbstractModel, start: State, state, reached: Scalar):
            end, log_det, totals = state
            path = Path(start, game.domain.fold(end), log_det)
            values = [
                weight * (total + part.final(game, model, path))
                for weight, part, total in zip(weights, parts, totals, strict=True)
            ]
            # An unfinished path must not pass for a finished one.
            values = [jnp.where(reached >= (1 - _LATE) * span, v, jnp.nan) for v in values]
            return jnp.sum(jnp.stack(values)), tuple(values)

        def one(model: AbstractModel, sample) -> tuple[Scalar, tuple[Scalar, ...]]:
            start, key = sample
            directions = moving_directions(game, self.divergence, start, key=key)
            begun = start, zero, (zero,) * len(parts)
            density = first(start)
            along = lambda t, state: slope(
                model, jnp.asarray(t, batch.dtype), state, directions, density
            )
            state, reached = self.integrator(along, begun, span)
            return arrived(model, start, state, reached)

        def many(model: AbstractModel, sample) -> tuple[Scalar, tuple[Scalar, ...]]:
            starts, keys = sample
            drawn = lambda x, key: moving_directions(game, self.divergence, x, key=key)
            directions = jax.vmap(drawn)(*sample)
            zeros, densities = jnp.zeros(len(keys), batch.dtype), jax.vmap(first)(starts)

            def along(t: Time, state):
                now = jnp.asarray(t, batch.dtype)
                at = lambda state, z, density: slope(model, now, state, z, density)
                return jax.vmap(at)(state, directions, densities)

            state, reached = self.integrator(along, (starts, zeros, (zeros,) * len(parts)), span)
            values = jax.vmap(lambda x, state: arrived(model, x, state, reached))(starts, state)
            return jax.tree.map(jnp.mean, values)

        keys = jax.random.split(probe_key, batch.shape[0])
        if not self.integrator.adapts:
            return Weighted(*chunked_mean(one, model, (batch, keys), reports=True))
        # Steps are chosen for many particles together: one loop, and no particle waits masked.
        size = _divisor(batch.shape[0])
        groups = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), (batch, keys))
        # One after the other: side by side they would wait for each other's steps.
        if batch.shape[0] == size:
            totals, values = many(model, (batch, keys))
        else:
            totals, values = jax.lax.map(lambda group: many(model, group), groups)
        means = jax.lax.stop_gradient(jax.tree.map(jnp.mean, values))
        return Weighted(jnp.mean(totals), means)


class AbstractPathTerm(AbstractObjective):
    """A term of a path: an integral along it plus a value of its ends.

    To add one, give `rate` or `final`, and in `uses` what the rate needs of "divergence", "value",
    "jacobian" and "density"; log |det| needs the divergence.
    """

    uses: ClassVar[frozenset[str]] = frozenset()
    paths: eqx.AbstractVar[Paths]

    def bundle(self) -> AbstractBundle:
        return self.paths

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.paths.evaluate([(1.0, self)], game, model, batch, key=key).total

    def needs_data(self, game: MFG) -> bool:
        return self.paths.needs_data()

    def needs(self, game: MFG, x: State) -> frozenset[str]:
        """The quantities that its rate uses in a game with points such as x."""
        return self.uses

    def admits(self, game: MFG, model: AbstractModel) -> None:
        """Raises a `TypeError` for a game or a model that the term has no meaning for."""
        deterministic(self.name, game)

    def advice(self, game: MFG) -> str:
        return self.paths.advice()

    def rate(self, game: MFG, here: Here) -> Scalar:
        """The integrand of its integral over time."""
        return jnp.zeros((), here.x.dtype)

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        """The value of the ends of a path."""
        return jnp.zeros((), path.end.dtype)


def deterministic(owner: str, game: MFG) -> None:
    """Raises a `TypeError` in the name of `owner` for a game with noise."""
    if not game.dynamics.deterministic:
        raise TypeError(
            f"`{owner}` got dynamics with noise, `{type(game.dynamics).__name__}`, expected "
            "sigma = 0: a flow has densities along its paths; with noise take `GameCost()`, "
            "`Residual(at=OwnPaths())` or score matching."
        )


def here_at(
    game: MFG,
    model: AbstractModel,
    method: AbstractDivergence,
    uses: frozenset[str],
    t: Time,
    x: State,
    directions: Float[Array, "m dim"],
) -> Here:
    """Control, velocity, divergence and value of a particle at (t, x), as far as `uses` asks."""
    zero = jnp.zeros((), x.dtype)
    mobility = game.lagrangian.mobility(t)
    gain = game.dynamics.uniform_gain(t)
    if (
        isinstance(model, AbstractPotential)
        and method.exact
        and mobility is not None
        and gain is not None
        and "jacobian" not in uses
        and uses & {"divergence", "value"}
    ):
        jet = model.jet(t, x, game.dynamics.fixed)
        control = optimal_control(game, t, x, jet.gradient)
        spread = divergence(lambda x: game.dynamics.free(t, x))(x)
        spread = spread - gain * gain * mobility * jet.laplacian
        moved = steered(game, t, x, control)
        return Here(t, x, control, moved, spread, jet, None, True)
    jet = None
    if isinstance(model, AbstractPotential) and "value" in uses:
        value, (time, gradient) = jax.value_and_grad(model, argnums=(0, 1))(t, x)
        jet = Jet(value, time, gradient, zero)
    field = lambda x: velocity(game, model, t, x)
    control = model.control(game, t, x)
    if not uses & {"divergence", "jacobian"}:
        moved = steered(game, t, x, control)
        return Here(t, x, control, moved, zero, jet, None, method.exact)
    if method.exact:
        # The same for all particles, and known when the pass is compiled.
        directions = moving_directions(game, method, x, key=None)
    moved, push = jax.linearize(field, x)
    pushed = _pushed(push, directions)
    along = jnp.sum(directions * pushed)
    spread = along if method.exact else along / directions.shape[0]
    return Here(t, x, control, moved, spread, jet, pushed, method.exact)


def _pushed(
    push: Callable[[State], State], directions: Float[Array, "m dim"]
) -> Float[Array, "m dim"]:
    if len(directions) > _APART:
        return jax.vmap(push)(directions)
    # Over a batch each one is a product of matrices, and so is its gradient in the weights.
    return jnp.stack([push(z) for z in directions])


def _first_density(game: MFG, uses: frozenset[str]) -> Callable[[State], Scalar]:
    """log rho_0 where a term needs the density, which is then known along the paths."""
    if "density" not in uses:
        return lambda x: jnp.full((), jnp.nan, x.dtype)
    initial = evaluable("Paths", "initial density", game.initial)
    return lambda x: jnp.asarray(initial.log_density(x), x.dtype)


def _divisor(count: int) -> int:
    """The largest group of equal size that is not too large."""
    return max(size for size in range(1, min(count, _TOGETHER) + 1) if count % size == 0)
