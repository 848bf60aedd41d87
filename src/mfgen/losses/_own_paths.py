"""The equations of a game along the paths of its own particles, with noise or without.

    strong        E int w |R_hjb(t, X)|^q dt,      E |U(T, X_T) - dM/drho|^q,     or their gradients
    martingale    E R^2 or var R                                (`mfgen.losses._martingale`)

The particles play the model's control and are then held still: unlike those of `Paths`, which carry
the derivative along, they only say where the equations are asked for. So the crowd is the batch:
dI/drho and dM/drho are taken for each particle in the half of the batch that it is not in. Where
there is no noise log rho is followed along the paths for costs that ask for it.

The time integral is a mean over a systematic sample of the nodes, each with its own step.

The equations hold everywhere, so other paths than the optimal ones will do, and may do better: a
control that already misses a mode never meets it. With `play` = (a, b) each particle plays its own
multiple of the control, uniform in [a, b]: (0, 1) goes from no control to the whole of it.

Reference: N. Nuesken, L. Richter (2021), arXiv 2005.05409 (choice of the forward process).
"""

from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Control, Key, Scalar, State, Time
from mfgen.derive._hamiltonian import steered
from mfgen.functionals._functional import evaluable
from mfgen.games._game import MFG
from mfgen.losses import _crowd as crowds
from mfgen.losses._collocation import subset_index
from mfgen.losses._game_cost import known_of
from mfgen.losses._laplacian import probe_keys
from mfgen.losses._martingale import missed
from mfgen.losses._objective import Terms, Weighted
from mfgen.losses._places import AbstractPlaces, Place, Tangent
from mfgen.math._chunk import chunked_mean
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._diffusion import EulerMaruyama
from mfgen.simulate._divergence import ExactDivergence
from mfgen.simulate._ends import fresh_starts, initial_density
from mfgen.simulate._integrator import RungeKutta4
from mfgen.simulate._trajectory import Method, Trajectories, check_method, trajectories

_PARTS = ("interaction", "terminal")


class OwnPaths(AbstractPlaces):
    """Along the game's own particles, with noise or without, which are the crowd as well.

    Arguments:
        method: how paths are followed; `EulerMaruyama(32)` with noise, `RungeKutta4(16)` without.
        starts: "initial" for fresh draws of the initial density, or "batch".
        density: what a cost is told that asks for rho at a place: "followed", log rho along the
            paths, for games without noise; or "kernel", an estimate from the batch.
        nodes: at how many times of the paths strong equations are asked for, in each step.
        play: the least and greatest multiple of the control that a particle plays.
    """

    asks: ClassVar[frozenset[str]] = frozenset(
        {"hjb", "hjb_gradient", "terminal", "terminal_gradient", "martingale", "martingale_anytime"}
    )
    counts: ClassVar[bool] = True
    method: Method | None = None
    starts: Literal["initial", "batch"] = eqx.field(static=True, default="initial")
    density: Literal["followed", "kernel"] = eqx.field(static=True, default="followed")
    nodes: int = eqx.field(static=True, default=2, converter=plain)
    play: tuple[float, float] = eqx.field(static=True, default=(1.0, 1.0))

    def __check_init__(self):
        count("OwnPaths", "nodes", self.nodes)
        _check.one_of(self, starts=("initial", "batch"), density=("followed", "kernel"))
        pair = isinstance(self.play, tuple | list) and len(self.play) == 2
        if not (pair and self.play[0] <= self.play[1]):
            raise ValueError(
                f"`OwnPaths` got play = {self.play}, expected the least multiple of the control "
                "first: pass play=(0.0, 1.0)."
            )

    def needs_data(self) -> bool:
        return self.starts == "batch"

    def check(self, owner: str, game: MFG, of: tuple[str, ...]) -> None:
        if any(name.startswith("martingale") for name in of) and game.dynamics.deterministic:
            raise TypeError(
                f"`{owner}` got a game without noise, expected sigma > 0: without it the control "
                'drops out of R; pass Residual(of=("hjb", "terminal")).'
            )
        initial_density(owner, game)
        check_method(owner, game, self._method(game), False)
        for part, crowd in enumerate(self._crowds(owner, game)):
            if crowd is crowds.followed and f"{('hjb', 'terminal')[part]}_gradient" in of:
                raise TypeError(
                    f"`{owner}` got the {_PARTS[part]} cost, which asks for log rho, whose "
                    "gradient is not known along paths, expected a cost of samples: pass "
                    'OwnPaths(density="kernel"), or the equation itself for its gradient.'
                )

    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        for _, term in terms:
            term.admits(game, model)
        start_key, path_key = jax.random.split(key)
        if self.starts == "initial":
            batch = fresh_starts("OwnPaths", game, batch, key=start_key)
        seen = self._crowds("OwnPaths", game)
        paths = self._followed(game, model, batch, path_key, crowds.followed in seen)
        values = [w * _value(term, game, model, self, paths, seen, key) for w, term in terms]
        return Weighted(jnp.sum(jnp.stack(values)), jax.lax.stop_gradient(tuple(values)))

    def _followed(
        self, game: MFG, model: AbstractModel, batch: Batch, key: Key, follows: bool
    ) -> "_Paths":
        """Paths that no derivative passes through."""
        parts = jnp.ones(len(batch), batch.dtype)
        method, divergence = self._method(game), ExactDivergence() if follows else None
        if self.play == (1.0, 1.0):
            found = trajectories(game, model, batch, key=key, method=method, divergence=divergence)
        else:
            part_key, key = jax.random.split(key)
            low, high = self.play
            parts = jax.random.uniform(part_key, (len(batch),), batch.dtype, low, high)

            def one(x: State, part: Scalar, key: Key) -> Trajectories:
                played = _Played(model, part)
                return trajectories(
                    game, played, x[None], key=key, method=method, divergence=divergence
                )

            found = jax.vmap(one)(batch, parts, jax.random.split(key, len(batch)))
            nodes = jax.tree.map(lambda leaf: jnp.swapaxes(leaf[:, :, 0], 0, 1), found[1:])
            found = Trajectories(found.times[0], *nodes)
        found = jax.lax.stop_gradient(found)
        logarithms = jnp.zeros_like(found.paid)
        if follows:
            initial = evaluable("OwnPaths", "initial density", game.initial)
            logarithms = jax.vmap(initial.log_density)(batch)[None] - found.log_det
        return _Paths(found, logarithms, parts)

    def _crowds(self, owner: str, game: MFG) -> list[crowds.Crowd]:
        return [
            known_of(owner, game, part, self.density, varied=True, here=True) for part in range(2)
        ]

    def _method(self, game: MFG) -> Method:
        if self.method is not None:
            return self.method
        return RungeKutta4(16) if game.dynamics.deterministic else EulerMaruyama(32)


class _Paths(NamedTuple):
    """Paths, log rho along them `[K + 1, n]` if it is followed, and the multiples played `[n]`."""

    found: Trajectories
    logarithms: Float[Array, "nodes n"]
    parts: Float[Array, "n"]


class _Played(AbstractModel):
    """A multiple of a model's control."""

    model: AbstractModel
    part: Scalar

    def costate(self, t: Time, x: State):
        return self.model.costate(t, x)

    def control(self, game: MFG, t: Time, x: State) -> Control:
        return self.part * self.model.control(game, t, x)


def _value(term, game: MFG, model, at: OwnPaths, paths: _Paths, seen, key: Key) -> Scalar:
    """One term along the paths."""
    found, logarithms, parts = paths
    nodes, n = len(found.times), found.points.shape[1]
    rows = subset_index(n, term.points, key=key)
    zero = jnp.zeros((), found.points.dtype)
    total = zero

    def tangents(part: int, points: Batch, logs: Float[Array, "n"]) -> Tangent:
        """dI/drho or dM/drho and its gradient for each particle."""
        cost, crowd = getattr(game, _PARTS[part]), seen[part]

        def tangent(others: Batch, its: Float[Array, "m"], x: State, log: Scalar) -> Tangent:
            if crowd is crowds.followed:  # which knows log rho where its particles are
                others, its = jnp.append(others, x[None], axis=0), jnp.append(its, log)
            rho = crowd(others, its)
            height, slope = jax.value_and_grad(lambda x: cost.variation(rho, x))(x)
            return Tangent(x, height.astype(x.dtype), slope)

        return crowds.by_halves(tangent, points, logs)

    if term.martingale:

        def drift(t: Time, x: State, part: Scalar) -> State:
            return steered(game, t, x, part * model.control(game, t, x))

        logs = logarithms[0]
        price = lambda points: tangents(0, points, logs).height
        end = tangents(1, found.points[-1], logarithms[-1]).height
        anytime = "martingale_anytime" in term.of
        left = missed(game, model, found, drift, parts, price, end, anytime=anytime)
        total = total + jnp.mean(jax.vmap(term.penalty)(left))
    if term.running:
        index = subset_index(nodes - 1, at.nodes, key=jax.random.fold_in(key, 5))
        prices = None
        if not game.interaction.vanishes:
            at_node = lambda points, logs: tangents(0, points, logs)
            prices = jax.vmap(at_node)(found.points[index], logarithms[index])
        weights = (nodes - 1) * jnp.diff(found.times)[index]
        flat = lambda leaf: leaf[:, rows].reshape(-1, *leaf.shape[2:])
        spread = lambda leaf: jnp.repeat(leaf, len(rows))
        samples = (
            spread(found.times[index]),
            flat(found.points[index]),
            spread(weights),
            probe_keys(key, len(index) * len(rows)),
            jax.tree.map(flat, prices),
        )

        def running(model, sample) -> Scalar:
            t, x, *rest = sample
            return term.point(game, model, Place(t, x, 1.0, *rest))[0]

        total = total + chunked_mean(running, model, samples)
    if term.ending:
        prices = tangents(1, found.points[-1], logarithms[-1])
        ends = jax.tree.map(lambda leaf: leaf[rows], (found.points[-1], prices))
        total = total + chunked_mean(lambda model, end: term.end(game, model, *end), model, ends)
    return total
