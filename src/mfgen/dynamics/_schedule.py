"""A noising known by its signal and its noise alone: two functions of time.

    Y_s = alpha(s) y_0 + sigma(s) eps

    kappa = sigma / alpha        the noise ratio
    r = (log alpha)'             the rate of the linear drift r y
    g^2 = (sigma^2)' - 2 r sigma^2 = alpha^2 (kappa^2)'        the squared diffusion

are derived by automatic differentiation, the noising time at a ratio and the time at which the game
stops by root finding. By the last identity g is real where and only where kappa increases, which is
looked at on a fine grid before anything is made of it.

References: D. Kingma et al., "Variational diffusion models" (2021), arXiv 2107.00630 (schedules by
signal and noise); A. Nichol, P. Dhariwal (2021), arXiv 2102.09672 (the cosine schedule).
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen import _check
from mfgen._types import Scalar, Time
from mfgen.dynamics._dynamics import positive
from mfgen.dynamics._noising_base import AbstractNoising
from mfgen.math._host import in_double

_PLACES = 2001  # times at which the two functions are looked at
_WHOLE = 1e-3  # of signal(0) from 1
_LARGEST = 1e4  # a noise ratio that is as good as no signal


class Noising(AbstractNoising):
    """A noising process by its signal and its noise, two functions of time.

    Arguments:
        signal: alpha(s), the factor that multiplies the data; alpha(0) = 1.
        noise: sigma(s), the standard deviation of the noise that is added to them. Both are
            written in jax.numpy and differentiable.
        horizon: the last noising time.
        smallest_ratio: the noise ratio sigma / alpha at which the game stops, in units of the data;
            at time 0 the ratio may be as large.
        largest_ratio: the noise ratio at which the noising ends, before `horizon` if it is reached
            there; for schedules whose signal ends at zero.

    Raises:
        ValueError: for a noise ratio that decreases somewhere, where the squared diffusion is
            negative; for a signal that does not begin at 1, a noise that begins above
            `smallest_ratio`, or values that are not finite.

    Example:

        cosine = Noising(
            lambda s: jnp.cos(0.5 * jnp.pi * s), lambda s: jnp.sin(0.5 * jnp.pi * s),
            largest_ratio=100.0,
        )
        game = score_based(cosine, Empirical(points))

    A schedule by the log signal-to-noise ratio l(s) = -2 log kappa, decreasing, is
    signal = sqrt(sigmoid(l(s))), noise = sqrt(sigmoid(-l(s))).
    """

    functions: tuple[Callable[[Time], Scalar], Callable[[Time], Scalar]]
    horizon: float = eqx.field(static=True)
    first: float = eqx.field(static=True)

    def __init__(
        self,
        signal: Callable[[Time], Any],
        noise: Callable[[Time], Any],
        *,
        horizon: float = 1.0,
        smallest_ratio: float = 0.03,
        largest_ratio: float | None = None,
    ):
        for name, function in (("signal", signal), ("noise", noise)):
            _check.a_function("Noising", name, function, "s that returns a scalar")
        positive("Noising", "horizon", horizon)
        positive("Noising", "smallest_ratio", smallest_ratio)
        if largest_ratio is not None:
            positive("Noising", "largest_ratio", largest_ratio)
        self.functions = signal, noise
        self.first, self.horizon = in_double(
            _interval, signal, noise, float(horizon), float(smallest_ratio), largest_ratio
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of its constructor, up to nine digits."""
        signal, noise = self.functions
        ratio = in_double(lambda: float(noise(self.first)) / float(signal(self.first)))
        return {
            "signal": signal,
            "noise": noise,
            "horizon": self.horizon,
            "smallest_ratio": round(ratio, 9),
            "largest_ratio": None,
        }

    @property
    def start(self) -> float:
        return self.first

    def signal(self, s: Time) -> Scalar:
        return jnp.asarray(self.functions[0](jnp.asarray(s, float)), float)

    def noise(self, s: Time) -> Scalar:
        return jnp.asarray(self.functions[1](jnp.asarray(s, float)), float)


def _interval(
    signal: Callable, noise: Callable, horizon: float, smallest: float, largest: float | None
) -> tuple[float, float]:
    """The times at which the noise ratio is the smallest and the largest in use."""
    pair = jax.jit(jax.vmap(lambda s: (jnp.asarray(signal(s)), jnp.asarray(noise(s)))))
    # Closer together near the data, where a schedule may begin like a power of time.
    times = horizon * np.linspace(0.0, 1.0, _PLACES) ** 2
    alpha, sigma = (np.asarray(part, float) for part in pair(jnp.asarray(times)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sigma / alpha
    if largest is not None:
        # A signal that has come to zero, or by rounding below it, is past any ratio.
        past = ~(ratio < largest) | (alpha <= 0)
        count = int(np.argmax(past[1:])) + 2 if past[1:].any() else times.size
        times, alpha, sigma, ratio = (part[:count] for part in (times, alpha, sigma, ratio))
    _check_functions(times, alpha, sigma, ratio, smallest, largest)
    last = float(times[-1]) if largest is None else _root(pair, times[-2:], largest)
    if ratio[0] >= smallest:
        return 0.0, last
    at = int(np.argmax(ratio >= smallest))
    return _root(pair, times[at - 1 : at + 1], smallest), last


def _check_functions(
    times: np.ndarray,
    alpha: np.ndarray,
    sigma: np.ndarray,
    ratio: np.ndarray,
    smallest: float,
    largest: float | None,
) -> None:
    name, end = "`Noising` got", len(times) - (largest is not None)
    if not abs(alpha[0] - 1) <= _WHOLE:
        raise ValueError(
            f"{name} signal(0) = {alpha[0]:.4g}, expected 1: at time 0 the data are as they are; "
            "divide `signal` by it, or let the clock begin later."
        )
    if not 0 <= ratio[0] <= smallest * (1 + 1e-6):
        raise ValueError(
            f"{name} noise(0) = {sigma[0]:.4g}, expected 0, or at most smallest_ratio = "
            f"{smallest:g} times the signal: raise smallest_ratio, or let the noise begin lower."
        )
    wrong = ~(np.isfinite(ratio[:end]) & (alpha[:end] > 0) & (ratio[:end] < _LARGEST))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"{name} signal = {alpha[at]:.4g} and noise = {sigma[at]:.4g} at s = {times[at]:.4g}, "
            "expected finite numbers with a positive signal: pass largest_ratio=100.0 to end the "
            "noising where the data no longer count, or a smaller horizon."
        )
    falls = np.diff(ratio) < -1e-12
    if falls.any():
        at = int(np.argmax(falls))
        square = (
            alpha[at] ** 2 * (ratio[at + 1] ** 2 - ratio[at] ** 2) / (times[at + 1] - times[at])
        )
        raise ValueError(
            f"{name} a noise ratio noise / signal that decreases at s = {times[at]:.4g}, where the "
            f"squared diffusion (noise^2)' - 2 rate noise^2 is {square:.4g} < 0, expected it to "
            "increase: no noise takes noise away; correct `signal` or `noise` there."
        )
    if not ratio[-1] > smallest:
        raise ValueError(
            f"{name} a noise ratio of {ratio[-1]:.4g} at its end, s = {times[-1]:.4g}, expected "
            f"more than smallest_ratio = {smallest:g}: add more noise, or lower it."
        )


def _root(pair: Callable, ends: np.ndarray, ratio: float) -> float:
    """The time in an interval at which the noise ratio has a value."""
    low, high = (float(end) for end in ends)
    for _ in range(60):
        middle = 0.5 * (low + high)
        alpha, sigma = (float(part[0]) for part in pair(jnp.asarray([middle])))
        below = alpha > 0 and sigma / alpha < ratio
        low, high = (middle, high) if below else (low, middle)
    return high if math.isfinite(high) else low
