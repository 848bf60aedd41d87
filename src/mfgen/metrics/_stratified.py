"""Expectations along the noising, stratified in the logarithm of the noise ratio.

The metrics of score-based models are means over log kappa, kappa = noise / signal, uniform between
the two ends of the noising interval:

    mean_{log kappa} E_{Y ~ eta(s)} f(s, Y),     Y = signal(s) X + noise(s) eps.

The interval is cut into n / 2 equal strata with two points each. Two, not one, because their
difference gives an unbiased estimate of the variance that is left,

    variance of the mean = (1 / n^2) sum over strata of (f_1 - f_2)^2,

while the spread of all values would count the variation over time, which stratification removes.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.dynamics._noising import AbstractNoising
from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate, Profile, mean_estimate

Square = Callable[[Time, State], Scalar]  # a squared error at a game time and a noised point


@eqx.filter_jit
def mean_square(
    noising: AbstractNoising, law: AbstractDensity, square: Square, n: int, chunk: int, key: Key
) -> Estimate:
    """The mean of a squared error over uniform log kappa and the noised law, by n points."""
    time_key, data_key, noise_key = jax.random.split(key, 3)
    times = stratified_times(noising, n, key=time_key)
    points = noised_points(noising, times, law.sample(n, key=data_key), key=noise_key)
    return stratified_estimate(_mapped(square, times, points, chunk))


@eqx.filter_jit
def mean_squares(
    noising: AbstractNoising,
    law: AbstractDensity,
    square: Square,
    times: Float[Array, "m"],
    n: int | None,
    chunk: int,
    key: Key,
) -> Profile:
    """The same at given times, by n points at each, or by all particles of the law."""

    def at(row: tuple[Scalar, Key]) -> Estimate:
        t, key = row
        data_key, noise_key = jax.random.split(key)
        drawn = law.particles()[0] if n is None else law.sample(n, key=data_key)
        repeated = jnp.full(len(drawn), t)
        points = noised_points(noising, repeated, drawn, key=noise_key)
        return mean_estimate(_mapped(square, repeated, points, chunk))

    value, error = jax.lax.map(at, (times, jax.random.split(key, times.shape[0])))
    return Profile(times, value, error)


def _mapped(
    square: Square, times: Float[Array, "n"], points: Batch, chunk: int
) -> Float[Array, "n"]:
    size = min(chunk, times.shape[0])
    return jax.lax.map(lambda row: square(*row), (times, points), batch_size=size)


def log_ratio_range(noising: AbstractNoising) -> tuple[Scalar, Scalar]:
    """The logarithms of the smallest and of the largest noise ratio of the game."""
    ends = noising.start, noising.horizon
    first, last = (jnp.log(noising.ratio(jnp.asarray(s))) for s in ends)
    return first, last


def stratified_times(noising: AbstractNoising, n: int, *, key: Key) -> Float[Array, "n"]:
    """Game times whose log noise ratio is uniform, two in each of n / 2 strata; n is even."""
    first, last = log_ratio_range(noising)
    inside = jax.random.uniform(key, (n // 2, 2), first.dtype)
    share = (jnp.arange(n // 2, dtype=first.dtype)[:, None] + inside).reshape(-1) / (n // 2)
    times = jax.vmap(noising.time)(jnp.exp(first + share * (last - first)))
    return noising.horizon - jnp.clip(times, noising.start, noising.horizon)


def stratified_estimate(values: Float[Array, "n"]) -> Estimate:
    """The mean over `stratified_times`, with the variance that is left within the strata."""
    gaps = values[0::2] - values[1::2]
    return Estimate(jnp.mean(values), jnp.sqrt(jnp.sum(gaps**2)) / values.shape[0])


def noised_points(
    noising: AbstractNoising, times: Float[Array, "n"], points: Batch, *, key: Key
) -> Batch:
    """Each point carried to its game time: signal(s) x + noise(s) eps, s = horizon - t."""
    noise = jax.random.normal(key, points.shape, points.dtype)

    def carry(t: Time, x: State, eps: State) -> State:
        s = noising.horizon - t
        return noising.signal(s) * x + noising.noise(s) * eps

    return jax.vmap(carry)(times, points, noise)


def check_even(owner: str, n: int) -> None:
    """Raises in the name of `owner` unless n is even and at least 2."""
    if n < 2 or n % 2:
        raise ValueError(
            f"`{owner}` got n = {n}, expected an even number of points, two for each stratum of "
            f"time: pass n = {max(2, n + 1)}."
        )


def check_times(owner: str, noising: AbstractNoising, times: _door.Numbers) -> Float[Array, "m"]:
    """Returns game times `[m]`, or raises in the name of `owner` if one is outside the game."""
    array = _door.values(owner, "times", times, least=1)
    last = noising.horizon - noising.start
    # Grids that end at the horizon may overshoot it by rounding.
    slack = 1e-6 * noising.horizon
    if not (array.min() >= -slack and array.max() <= last + slack):
        raise ValueError(
            f"`{owner}` got times from {array.min():.6g} to {array.max():.6g}, expected game times "
            f"between 0 and {last:.6g}: pass t = noising.horizon - s."
        )
    return jnp.asarray(array.clip(0.0, last))
