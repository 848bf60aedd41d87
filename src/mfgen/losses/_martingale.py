"""The HJB equation along random paths, without second derivatives: a martingale.

For any control that the particles of dX = b dt + sigma dW play, Ito's formula and the equation
dt U + tr(sigma sigma^T Hess U) / 2 - r U = H(t, x, grad U) - f, with f = dI/drho, give

    d( e^{-rt} U ) = e^{-rt} [ H(t, X, p) + p.b - f ] dt + e^{-rt} p.sigma dW,     p = grad U(t, X),

so that with U(T) = g = dM/drho

    R = e^{-rT} g(X_T) - U(0, X_0) - int e^{-rt} [ H + p.b - f ] dt - int e^{-rt} p.sigma dW

is zero on every path of the solution. E R^2, or the variance of R, which leaves U free up to a
number, is the loss; where the model's own control is played the bracket is -(L + f), and R is what
is paid against what was expected. The same holds from any time s on, in the money of that time,

    R_s = e^{-r(T-s)} g(X_T) - U(s, X_s) - int_s^T ...

From time 0 alone U is free up to a function of t that is zero at 0; from all times nothing is.
Paths and crowd are held still: the gradient is taken of U in R, not of where particles go. Sums
over nodes take what is known at the beginning of each step (Ito).

References: J. Han, A. Jentzen, W. E, "Solving high-dimensional partial differential equations using
deep learning", PNAS 115 (2018), arXiv 1707.02568 (E R^2 with U(0) unknown); N. Nuesken, L. Richter,
"Solving high-dimensional Hamilton-Jacobi-Bellman PDEs using neural networks" (2021), arXiv
2005.05409 (the log-variance, and other controls).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, State, Time
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.games._game import MFG
from mfgen.math._linear_map import image
from mfgen.models._base import AbstractPotential
from mfgen.simulate._trajectory import Trajectories


def missed(
    game: MFG,
    model: AbstractPotential,
    found: Trajectories,
    drift: Callable[[Time, State, Float[Array, ""]], State],
    parts: Float[Array, "n"],
    price: Callable[[Batch], Float[Array, "n"]],
    end: Float[Array, "n"],
    *,
    anytime: bool,
) -> Float[Array, "times n"]:
    """R of each path, from time 0 on, or with `anytime` from each node but the last.

    Arguments:
        game, model: the game and U.
        found: the paths, which no derivative passes through.
        drift: b(t, x, part) of the paths; `parts` is the last argument for each.
        price: dI/drho for the particles of a node.
        end: dM/drho where they end.
    """

    @jax.checkpoint
    def add(total, row):
        t, h, x, kicks = row
        fade = jnp.exp(-game.discount * t)
        sigma = game.dynamics.diffusion(t)

        def one(x, kick, part, price):
            p = model.costate(t, x)
            b = jax.lax.stop_gradient(drift(t, x, part))
            change = (hamiltonian(game, t, x, p) + jnp.vdot(p, b) - price) * h
            return fade * (change + jnp.vdot(p, image(sigma, kick)))

        after = total + jax.vmap(one)(x, kicks, parts, price(x)).astype(total.dtype)
        before = fade * jax.vmap(lambda x: model(t, x))(x) - total if anytime else None
        return after, before

    times = found.times
    rows = times[:-1], jnp.diff(times), found.points[:-1], found.noise
    expected, before = jax.lax.scan(add, jnp.zeros_like(end), rows)
    paid = jnp.exp(-game.discount * times[-1]) * end
    if anytime:
        left = (paid - expected)[None] - before
        return jnp.exp(game.discount * times[:-1, None]) * left
    start = jax.vmap(lambda x: model(times[0], x))(found.points[0])
    return (paid - (expected + start))[None]
