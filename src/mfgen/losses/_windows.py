"""Windows of time along a discounted game's own paths.

    x' = b(t, x) up to T, taken as given;   from a stage t of it on, for a few e = 1 / r,

    paid = r int e^{-r (s - t)} ( L + b.grad V - a div b ) ds,     I = r F,
    dF/drho = a log rho + V + constant,     dF/ds = E[ b.grad V - a div b ]

The solution from any time on is the same feedback. Windows are drawn evenly from [0, T], so that
late times weigh what early ones do, and e^{-r t} never appears (`mfgen.losses._dissipation`).

Reference: A. Mielke, U. Stefanelli, ESAIM COCV 17 (2011).
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import AbstractFunctional, evaluable
from mfgen.functionals._local import local_curvature, local_variation
from mfgen.games._game import MFG
from mfgen.losses._objective import Terms, Weighted
from mfgen.losses._paths import Here, deterministic, here_at
from mfgen.losses._places import AbstractPlaces
from mfgen.math._chunk import chunked_mean
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._divergence import AbstractDivergence, ExactDivergence, moving_directions
from mfgen.simulate._ends import fresh_starts
from mfgen.simulate._integrator import RungeKutta4

_MOVES, _DENSITY = frozenset[str](), frozenset({"divergence"})
_LATE = 1e-5  # part of the horizon that rounding may leave


class Ahead(NamedTuple):
    """A window of a particle's path.

    Attributes:
        t, x, log_density: where it begins, and log rho there, nan if no term asks for it.
        end, log_det: where it ends, and log |det| of the way.
        paid: r int e^{-r (s - t)} (L + b.grad V - a div b) ds.
        fade: e^{-r (s - t)} at the end, 0 if that is before T.
        last, last_log_density: where the given path arrives at T.
    """

    t: Time
    x: State
    log_density: Scalar
    end: State
    log_det: Scalar
    paid: Scalar
    fade: Scalar
    last: State
    last_log_density: Scalar


class Affine(NamedTuple):
    """A first variation along a path: dF/drho = a log rho + V.

    Attributes:
        slope: a.
        potential: V.
    """

    slope: Scalar
    potential: Callable[[State], Scalar]


def affine(functional: AbstractFunctional, x: State) -> Affine:
    """a, which is the same at all points, and V.

    Raises:
        TypeError: for a functional that is not local, such as one that needs samples.
    """

    def at(value: float, x: State) -> Scalar:
        return local_variation(functional, x, jnp.asarray(value, x.dtype))

    return Affine(at(1.0, x) - at(0.0, x), lambda x: at(0.0, x))


def check_affine(functional: AbstractFunctional, x: State) -> None:
    """Raises a `ValueError` for a first variation that is not affine in log rho, at a point x."""

    slope = lambda value: local_curvature(functional, x, value)[1]
    bends = [float(jax.grad(slope)(jnp.asarray(value, x.dtype))) for value in (-1.0, 1.0)]
    if any(bends):
        raise ValueError(
            f"`WeightedDissipation` got a functional `{type(functional).__name__}` whose first "
            "variation is not affine in log rho, expected a sum of `KL`, `Entropy` and `Linear`: "
            "solve its game by `Grid` or `Neural`."
        )


class Windows(AbstractPlaces):
    """Time windows of particles' paths; terms with equal ones share them.

    Arguments:
        stages: at which a window may begin; the given paths take that many midpoint steps.
        steps: of the Runge-Kutta method in a window.
        reach: the length of a window in units of e, cut at T. What is paid later is left to F,
            and counts e^{-reach}.
        divergence: `ExactDivergence()`, or `Hutchinson(probes)`, drawn once for each particle.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"hjb", "terminal"})
    prefix: ClassVar[str] = "Dissipation"
    euclidean: ClassVar[bool] = True
    stages: int = eqx.field(static=True, default=40, converter=plain)
    steps: int = eqx.field(static=True, default=12, converter=plain)
    reach: float = eqx.field(static=True, default=4.0)
    divergence: AbstractDivergence = ExactDivergence()

    def __check_init__(self):
        count("Windows", "stages", self.stages)
        count("Windows", "steps", self.steps)
        positive("Windows", "reach", self.reach)

    def needs_data(self) -> bool:
        return False

    def admits(self, owner: str, game: MFG) -> None:
        deterministic(owner, game)
        if game.discount <= 0 or game.initial is None:
            lacks = "a discount" if game.discount <= 0 else "an initial density"
            raise ValueError(
                f"`{owner}` got a game without {lacks}, expected a discounted one that says where "
                "its particles start: declare `gradient_flow_game(functional, initial, epsilon)`."
            )

    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        for _, term in terms:
            term.admits(game, model)
        known = any(term.needs_density for _, term in terms)
        start_key, key = jax.random.split(key)
        starts = fresh_starts("Windows", game, batch, key=start_key)

        def one(model: AbstractModel, sample) -> tuple[Scalar, tuple[Scalar, ...]]:
            ahead = self._ahead(game, model, *sample, known=known)
            values = tuple(weight * term.value(game, model, ahead) for weight, term in terms)
            return jnp.sum(jnp.stack(values)), values

        keys = jax.random.split(key, batch.shape[0])
        return Weighted(*chunked_mean(one, model, (starts, keys), reports=True))

    def _ahead(
        self, game: MFG, model: AbstractModel, start: State, key: Key, *, known: bool
    ) -> Ahead:
        stage_key, probe_key = jax.random.split(key)
        directions = moving_directions(game, self.divergence, start, key=probe_key)
        span = jnp.asarray(game.dynamics.horizon, start.dtype)

        def see(model: AbstractModel, t: Time, x: State, uses: frozenset[str]) -> Here:
            return here_at(game, model, self.divergence, uses, t, x, directions)

        moving, fixed = eqx.partition(model, eqx.is_array)
        taken = eqx.combine(jax.lax.stop_gradient(moving), fixed)
        uses = _DENSITY if known else _MOVES
        points, log_dets = self._given(lambda t, x: see(taken, t, x, uses), start, span)
        density = jnp.full((), jnp.nan, start.dtype)
        if known:
            density = evaluable("Windows", "initial density", game.initial).log_density(start)
        stage = jax.random.randint(stage_key, (), 0, self.stages)
        t = span * stage / self.stages
        length = jnp.minimum(self.reach / game.discount, span - t)
        slope, potential = affine((1 / game.discount) * game.interaction, start)

        def rates(part: Time, state):
            """For a part of the window, whose length is not the same for all particles."""
            gone = length * part
            here = see(model, t + gone, state[0], _DENSITY)
            spent = game.lagrangian(here.t, here.x, here.control)
            growth = here.velocity @ jax.grad(potential)(here.x) - slope * here.divergence
            paid = game.discount * jnp.exp(-game.discount * gone) * (spent + growth)
            found = here.velocity, here.divergence, paid
            return jax.tree.map(lambda rate: jnp.asarray(length * rate, start.dtype), found)

        zero, whole = jnp.zeros((), start.dtype), jnp.ones((), start.dtype)
        follow = RungeKutta4(self.steps, unroll=True)
        end, log_det, paid = follow(rates, (points[stage], zero, zero), whole).value
        arrives = t + length >= span * (1 - _LATE)
        fade = jnp.where(arrives, jnp.exp(-game.discount * length), 0.0)
        here, last = density - log_dets[stage], density - log_dets[-1]
        return Ahead(t, points[stage], here, end, log_det, paid, fade, points[-1], last)

    def _given(
        self, see: Callable[[Time, State], Here], start: State, span: Scalar
    ) -> tuple[Float[Array, "stages dim"], Float[Array, "stages"]]:
        """The path at all stages and log |det|, by midpoint steps; nothing is learnt from it."""
        step = span / self.stages

        def move(state: tuple[State, Scalar], t: Time):
            x, log_det = state
            middle = see(t + step / 2, x + step / 2 * see(t, x).velocity)
            moved = x + step * middle.velocity, log_det + step * middle.divergence
            return moved, moved

        begun = start, jnp.zeros((), start.dtype)
        times = step * jnp.arange(self.stages, dtype=start.dtype)
        _, later = jax.lax.scan(move, begun, times)
        whole = jax.tree.map(lambda a, rest: jnp.concatenate([a[None], rest]), begun, later)
        return jax.lax.stop_gradient(whole)
