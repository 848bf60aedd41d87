"""The residual of a potential in its Hamilton-Jacobi-Bellman equation, along the noising.

The residual of a score-based game has the units of a rate and grows like g^2 / sigma^2 towards the
data. Divided by d(log kappa)/ds = g^2 / (2 sigma^2) it is measured per unit of log noise ratio,

    R = (2 sigma^2 / g^2) ( -dt U + H(t, x, grad U) - (g^2 / 2) lap U ),

a number of nats per e-fold of noise: integrated along log kappa it bounds how far the potential
drifts from a log-density. It is taken at noised data, x = signal x_0 + noise eps, with exact
derivatives, and reported as a root mean square: the mean square is unbiased, its root takes the
delta method.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2.
"""

import equinox as eqx
import jax.numpy as jnp

from mfgen._types import Given, Key, Scalar, State, Time
from mfgen.densities._empirical import Empirical
from mfgen.derive._residual import hjb
from mfgen.dynamics._noising import AbstractNoising, log_ratio_speed
from mfgen.games._game import MFG
from mfgen.losses._noised import noising_of
from mfgen.metrics import _door, _stratified
from mfgen.metrics._estimate import Estimate, Profile, root
from mfgen.models._base import AbstractPotential

# Points at once: exact Laplacians hold dim derivatives of every layer.
_CHUNK = 64


def hjb_error(
    game: MFG, potential: AbstractPotential, data: Given, n: int = 4096, *, key: Key
) -> Estimate:
    """The root mean square HJB residual over uniform log kappa and noised data.

    Arguments:
        game: the score-based game.
        potential: a model of its value function.
        data: samples `[k, dim]` to be noised; drawn from with replacement.
        n: number of points, even.

    Raises:
        TypeError: the game is not score-based.
        ValueError: n is odd or less than 2; data of the wrong shape or not finite.
    """
    _stratified.check_even("hjb_error", n)
    noising = noising_of(game, "hjb_error")
    points = _door.held("hjb_error", "data", data)
    square = _Square(game, noising, potential)
    return root(_stratified.mean_square(noising, Empirical(points), square, n, _CHUNK, key))


def hjb_profile(
    game: MFG, potential: AbstractPotential, data: Given, times: _door.Numbers, *, key: Key
) -> Profile:
    """The root mean square HJB residual at given game times, over noised data.

    Arguments:
        game: the score-based game.
        potential: a model of its value function.
        data: samples `[n, dim]` to be noised, all of them at each time.
        times: game times, `[m]`.

    Raises:
        TypeError: the game is not score-based.
        ValueError: times outside the game; data of the wrong shape or not finite.
    """
    noising = noising_of(game, "hjb_profile")
    points = _door.held("hjb_profile", "data", data)
    checked = _stratified.check_times("hjb_profile", noising, times)
    square, law = _Square(game, noising, potential), Empirical(points)
    found = _stratified.mean_squares(noising, law, square, checked, None, _CHUNK, key)
    return Profile(checked, *map(jnp.asarray, root(Estimate(*found[1:]))))


class _Square(eqx.Module):
    """The squared residual per unit of log kappa."""

    game: MFG
    noising: AbstractNoising
    potential: AbstractPotential

    def __call__(self, t: Time, x: State) -> Scalar:
        residual = hjb(self.game, self.potential, None, t, x)
        return jnp.square(residual / log_ratio_speed(self.noising, self.noising.horizon - t))
