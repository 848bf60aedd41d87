"""Checks of a noising before a game reverses it: consistency, and the resolution of its clock.

A noising gives the same process several times over: by its kernel (`signal`, `noise`), by its
equation (`rate`, `diffusion`), and by its clock (`ratio`, `time`). They have to agree,

    alpha' = r alpha,     g^2 = (sigma^2)' - 2 r sigma^2,     kappa = sigma / alpha,

or a sampler follows another process than scores are trained on.

Game time is t = S - s, and near the data s is a small difference of two large numbers: rounded to
eps S, it moves the logarithm of the noise ratio by

    (d log kappa / ds) eps S / 2,      d log kappa / ds = g^2 / (2 sigma^2),

which for small ratios is the error of every log-density and score there, per coordinate.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen.dynamics._noising_base import AbstractForward, AbstractNoising, log_ratio_speed
from mfgen.math._host import in_double

_SAME = 1e-4  # relative, of two ways to give one process
_LEVELS = 9  # noise levels at which they are compared
_RESOLVED = 2e-3  # error of log kappa that is accepted
_SHORT = 1e-3  # where a noising starts later than this part of its time, rounding does no harm


def check_consistent(noising: AbstractNoising) -> None:
    """Refuses a noising whose kernel, equation and clock are not those of one process.

    Raises:
        ValueError: names the noising and the two that disagree.
    """
    if _traced(noising):
        return
    for fault, misfits in in_double(_misfits, noising).items():
        misfit, size = misfits
        if not np.all(np.abs(misfit) <= _SAME * np.abs(size)):
            raise ValueError(
                f"`TimeReversal` got `{_name(noising)}`, for which {fault} does not hold, expected "
                "signal, noise, rate, diffusion, ratio and time of one process: correct them."
            )


def _misfits(noising: AbstractNoising) -> dict[str, np.ndarray]:
    """Differences and sizes of what should be equal, `[2, n]` each."""
    first, last = float(noising.start), float(noising.horizon)
    ratios = [float(noising.ratio(jnp.asarray(s))) for s in (first, last)]
    if not 0 < ratios[0] < ratios[1] < math.inf:
        raise ValueError(
            f"`TimeReversal` got `{_name(noising)}`, whose noise ratio goes from "
            f"{ratios[0]:.4g} to {ratios[1]:.4g} over its times {first:.4g} to {last:.4g}, "
            "expected positive and increasing numbers: correct `ratio`, `start` or `horizon`."
        )
    # Not evenly: functions that were wrong in between would agree on a lattice.
    shares = np.linspace(0.0, 1.0, _LEVELS) ** 1.37
    levels = jnp.asarray(ratios[0] * (ratios[1] / ratios[0]) ** shares)
    return {name: np.asarray(values) for name, values in _compared(noising, levels).items()}


def _compared(noising: AbstractNoising, levels: jax.Array) -> dict[str, jax.Array]:
    """Differences and sizes of what should be equal, `[2, n]` each."""

    def at(level: jax.Array) -> dict[str, jax.Array]:
        s = jnp.asarray(noising.time(level), float)
        one = jnp.ones_like(s)
        slope = lambda f: jax.jvp(lambda s: jnp.asarray(f(s), float), (s,), (one,))
        (signal, signal_slope), (noise, noise_slope) = slope(noising.signal), slope(noising.noise)
        rate, diffusion = noising.rate(s), noising.diffusion(s)
        spread = (2 * noise * noise_slope, 2 * rate * jnp.square(noise))
        square, rates = jnp.square(diffusion), jnp.abs(rate) + 1 / noising.horizon
        return {
            "ratio(time(kappa)) = kappa": jnp.stack([noising.ratio(s) - level, level]),
            "ratio = noise / signal": jnp.stack([noise - level * signal, noise]),
            "signal' = rate * signal": jnp.stack([signal_slope - rate * signal, rates * signal]),
            "diffusion^2 = (noise^2)' - 2 rate noise^2": jnp.stack(
                [spread[0] - spread[1] - square, square]
            ),
        }

    found = jax.jit(jax.vmap(at))(levels)
    return {name: jnp.moveaxis(values, 0, 1) for name, values in found.items()}


def check_resolved(noising: AbstractForward, dtype: np.dtype, owner: str) -> None:
    """Refuses, in the name of `owner`, a noise level below what numbers of this type resolve.

    Raises:
        ValueError: with the smallest ratio that they carry.
    """
    if _traced(noising) or noising.start > _SHORT * noising.horizon:
        return
    try:
        found = _known(noising, dtype)
    except TypeError:  # a noising that holds arrays has no hash
        found = in_double(_carried, noising, dtype)
    if found is None:
        return
    smallest, high = found
    digit = 10.0 ** (math.floor(high / math.log(10)) - 1)
    carried = math.ceil(math.exp(high) / digit) * digit
    raise ValueError(
        f"`{owner}` got `{_name(noising)}` down to the noise ratio {smallest:.3g} with numbers of "
        f"type {dtype}, in which game times do not resolve it, expected at least {carried:.3g}: "
        f"pass smallest_ratio={carried:.3g}, or work with float64: "
        'jax.config.update("jax_enable_x64", True).'
    )


@functools.lru_cache(maxsize=64)
def _known(noising: AbstractForward, dtype: np.dtype) -> tuple[float, float] | None:
    return in_double(_carried, noising, dtype)


def _carried(noising: AbstractForward, dtype: np.dtype) -> tuple[float, float] | None:
    """The smallest ratio, and the logarithm of the least one that is resolved; `None` if it is."""
    ends = noising.start, noising.horizon
    smallest, largest = (float(noising.ratio(jnp.asarray(s))) for s in ends)
    if _blur(noising, smallest, dtype) <= _RESOLVED:
        return None
    low, high = math.log(smallest), math.log(largest)
    for _ in range(40):
        middle = 0.5 * (low + high)
        fine = _blur(noising, math.exp(middle), dtype) <= _RESOLVED
        low, high = (low, middle) if fine else (middle, high)
    return smallest, high


def _blur(noising: AbstractForward, ratio: float, dtype: np.dtype) -> float:
    """The error of log kappa where it is log `ratio`, by rounding the game time."""
    s = jnp.asarray(noising.time(jnp.asarray(ratio)))
    speed = float(log_ratio_speed(noising, s))
    # Half the distance of two numbers next to the horizon.
    last = float(noising.horizon)
    return speed * 0.5 * float(jnp.finfo(dtype).eps) * 2.0 ** (math.ceil(math.log2(last)) - 1)


def _traced(noising: AbstractForward) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(noising))


def _name(noising: AbstractForward) -> str:
    return type(noising).__name__
