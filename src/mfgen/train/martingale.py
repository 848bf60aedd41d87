"""The HJB equation along random paths, without second derivatives: a martingale.

For any control that the particles of dX = b dt + sigma dW play, Ito's formula and the equation
dt U + tr(sigma sigma^T Hess U) / 2 - r U = H(t, x, grad U) - f, with f = dI/drho, give

    d( e^{-rt} U ) = e^{-rt} [ H(t, X, p) + p.b - f ] dt + e^{-rt} p.sigma dW,     p = grad U(t, X),

so that with U(T) = g = dM/drho

    R = e^{-rT} g(X_T) - U(0, X_0) - int e^{-rt} [ H + p.b - f ] dt - int e^{-rt} p.sigma dW

is zero on every path of the solution. E R^2, or the variance of R, which leaves U free up to a
number, is the loss; where the model's own control is played the bracket is -(L + f), and R is what
is paid against what was expected. Paths and crowd are held still: the gradient is taken of U in R,
not of where particles go. Sums over nodes take what is known at the beginning of each step (Ito).

References: J. Han, A. Jentzen, W. E, "Solving high-dimensional partial differential equations using
deep learning", PNAS 115 (2018), arXiv 1707.02568 (E R^2 with U(0) unknown); N. Nuesken, L. Richter,
"Solving high-dimensional Hamilton-Jacobi-Bellman PDEs using neural networks" (2021), arXiv
2005.05409 (the log-variance, and other controls).
"""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar
from mfgen.derive.hamiltonian import hamiltonian, steered
from mfgen.math.linear_map import image
from mfgen.models.base import AbstractModel, AbstractPotential
from mfgen.problem.functional import AbstractFunctional
from mfgen.problem.game import MFG
from mfgen.simulate.diffusion import EulerMaruyama, StochasticHeun
from mfgen.simulate.trajectory import trajectories
from mfgen.train import crowd as crowds
from mfgen.train.game_cost import known_of
from mfgen.train.objective import AbstractObjective
from mfgen.train.payment import Pays


class Martingale(AbstractObjective):
    """E R^2, or the variance of R, along the model's own noisy paths.

    Arguments:
        method: how paths are followed.
        measure: "mean_square", which ties U to its value, or "variance", free of a constant.
        starts: "initial" for fresh draws of the initial density, or "batch".
        density: as of `GameCost`; log rho is not known along random paths.

    Raises (by `check`, before a training):
        ValueError, TypeError: for a game without noise or initial density, or costs whose first
            variation cannot be had of particles.

    Raises (when evaluated):
        TypeError: for a model without a value function.
    """

    regularises: ClassVar[bool] = True
    method: EulerMaruyama | StochasticHeun = EulerMaruyama(64)
    measure: Literal["mean_square", "variance"] = eqx.field(static=True, default="mean_square")
    starts: Literal["initial", "batch"] = eqx.field(static=True, default="initial")
    density: Literal["followed", "kernel"] = eqx.field(static=True, default="followed")

    def __check_init__(self):
        if self.measure not in ("mean_square", "variance"):
            raise ValueError(
                f'`Martingale` got measure = {self.measure!r}, expected "mean_square" or '
                '"variance": pass "variance" to leave U free up to a number.'
            )

    def needs_data(self, game: MFG) -> bool:
        return self.starts == "batch"

    def pays(self, game: MFG) -> Pays:
        return Pays(equations=frozenset({"hjb", "terminal"}))

    def check(self, game: MFG) -> None:
        if game.dynamics.deterministic:
            raise TypeError(
                "`Martingale` got a game without noise, expected sigma > 0: pass `PathHJB()` and "
                "`PathTerminal()`, which are residuals along paths without noise."
            )
        if game.initial is None:
            raise ValueError(
                "`Martingale` got a game without an initial density, expected one where particles "
                "start: declare `MFG(..., initial=density)`."
            )
        self._known(game)

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        if not isinstance(model, AbstractPotential):
            raise TypeError(
                f"`Martingale` got a model `{type(model).__name__}` without a value function, "
                "expected a potential: use `ot_flow_potential(game, key=key)`."
            )
        start_key, path_key = jax.random.split(key)
        if self.starts == "initial":
            assert game.initial is not None
            batch = game.initial.sample(len(batch), key=start_key).astype(batch.dtype)
        found = trajectories(game, model, batch, key=path_key, method=self.method)
        found = jax.lax.stop_gradient(found)
        on_the_way, at_the_end = self._known(game)
        nothing = jnp.zeros(len(batch), batch.dtype)

        @jax.checkpoint
        def add(total, row):
            t, h, x, kicks = row
            price = self._prices(game.interaction, on_the_way, x, nothing)
            fade = jnp.exp(-game.discount * t)
            sigma = game.dynamics.diffusion(t)

            def one(x, kick, price):
                p = model.costate(t, x)
                b = steered(game, t, x, jax.lax.stop_gradient(model.control(game, t, x)))
                change = (hamiltonian(game, t, x, p) + jnp.vdot(p, b) - price) * h
                return fade * (change + jnp.vdot(p, image(sigma, kick)))

            return total + jax.vmap(one)(x, kicks, price).astype(total.dtype), None

        times = found.times
        rows = times[:-1], jnp.diff(times), found.points[:-1], found.noise
        expected, _ = jax.lax.scan(add, nothing, rows)
        expected = expected + jax.vmap(lambda x: model(times[0], x))(batch)
        end = self._prices(game.terminal, at_the_end, found.points[-1], nothing)
        missed = jnp.exp(-game.discount * times[-1]) * end - expected
        if self.measure == "variance":
            return jnp.var(missed, ddof=1)
        return jnp.mean(jnp.square(missed))

    def _known(self, game: MFG) -> list[crowds.Crowd]:
        return [known_of("Martingale", game, part, self.density, varied=True) for part in (0, 1)]

    def _prices(
        self, functional: AbstractFunctional, known: crowds.Crowd, points: Batch, nothing
    ) -> Float[Array, "n"]:
        if functional.vanishes:
            return nothing
        return crowds.prices(functional, known, points, nothing).astype(points.dtype)
