"""Noising dynamics and their reversal: the dynamics of score-based models.

A noising process is linear, dY = r(s) Y ds + g(s) dW, so its kernel is Gaussian:

    Y_s = alpha(s) y_0 + sigma(s) eps,     alpha' = r alpha,     g^2 = (sigma^2)' - 2 r sigma^2.

With kappa = sigma / alpha (the noise ratio) the second relation reads g^2 = alpha^2 (kappa^2)'.
Hence y / alpha is, for every such process, a variance-exploding process with noise level kappa:
VP, VE and sub-VP differ only by a change of scale and of clock. Along the clock log kappa

    d(log kappa) / ds = g^2 / (2 sigma^2),

which is why residuals and losses are measured per unit of log kappa throughout.

The game of a score-based model runs backwards, t = S - s, from noise to data:

    dX = [ -r(s) X + g(s) v ] dt + g(s) dW,

and stops at the smallest noising time `start`, where the noise ratio is still positive.

References:
    Y. Song et al., "Score-based generative modeling through stochastic differential equations"
    (2021), arXiv 2011.13456; T. Karras et al. (2022), arXiv 2206.00364 (the noise ratio).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Scalar, State, Time
from mfgen.dynamics._dynamics import AbstractDynamics, plain, positive
from mfgen.dynamics._noising_base import AbstractForward as AbstractForward
from mfgen.dynamics._noising_base import AbstractNoising as AbstractNoising
from mfgen.dynamics._noising_base import log_ratio_speed as log_ratio_speed
from mfgen.dynamics._noising_check import check_consistent, check_resolved
from mfgen.math._linear_map import LinearMap


class VP(AbstractNoising):
    """Variance-preserving noising, dY = -beta/2 Y ds + sqrt(beta) dW with linear beta(s).

    alpha = exp(-B/2), sigma^2 = 1 - exp(-B), B(s) the integral of beta. Data of unit variance
    keep it.

    Arguments:
        beta_min, beta_max: beta at s = 0 and at s = horizon, per unit of time.
        horizon: the last noising time.
        smallest_ratio: the noise ratio at which the game stops, in units of the data.

    Example:

        game = score_based(VP(), Empirical(points))
    """

    beta_min: float = eqx.field(static=True, default=0.1, converter=plain)
    beta_max: float = eqx.field(static=True, default=20.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)
    smallest_ratio: float = eqx.field(static=True, default=0.03, converter=plain)

    def __check_init__(self):
        _check_beta("VP", self)
        _check_interval("VP", self.smallest_ratio, _last_ratio(self))

    @property
    def start(self) -> float:
        return _time_of(self, math.log1p(self.smallest_ratio**2))

    def signal(self, s: Time) -> Scalar:
        return jnp.exp(-0.5 * _integral(self, s))

    def noise(self, s: Time) -> Scalar:
        return jnp.sqrt(-jnp.expm1(-_integral(self, s)))

    def ratio(self, s: Time) -> Scalar:
        return jnp.sqrt(jnp.expm1(_integral(self, s)))

    def time(self, ratio: Time) -> Scalar:
        return jnp.asarray(_time_of(self, jnp.log1p(jnp.square(ratio))))

    def rate(self, s: Time) -> Scalar:
        return -0.5 * _beta(self, s)

    def diffusion(self, t: Time) -> Scalar:
        return jnp.sqrt(_beta(self, t))


class SubVP(AbstractNoising):
    """Sub-variance-preserving noising: the drift of `VP` with a smaller diffusion.

    alpha = exp(-B/2), sigma = 1 - exp(-B), g^2 = beta (1 - exp(-2B)).

    Arguments: as for `VP`.
    """

    beta_min: float = eqx.field(static=True, default=0.1, converter=plain)
    beta_max: float = eqx.field(static=True, default=20.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)
    smallest_ratio: float = eqx.field(static=True, default=0.03, converter=plain)

    def __check_init__(self):
        _check_beta("SubVP", self)
        _check_interval("SubVP", self.smallest_ratio, _last_ratio(self))

    @property
    def start(self) -> float:
        return _time_of(self, 2 * math.asinh(0.5 * self.smallest_ratio))

    def signal(self, s: Time) -> Scalar:
        return jnp.exp(-0.5 * _integral(self, s))

    def noise(self, s: Time) -> Scalar:
        return -jnp.expm1(-_integral(self, s))

    def ratio(self, s: Time) -> Scalar:
        return 2 * jnp.sinh(0.5 * _integral(self, s))

    def time(self, ratio: Time) -> Scalar:
        return jnp.asarray(_time_of(self, 2 * jnp.arcsinh(0.5 * jnp.asarray(ratio))))

    def rate(self, s: Time) -> Scalar:
        return -0.5 * _beta(self, s)

    def diffusion(self, t: Time) -> Scalar:
        return jnp.sqrt(_beta(self, t) * -jnp.expm1(-2 * _integral(self, t)))


class VE(AbstractNoising):
    """Variance-exploding noising, dY = g dW with a geometric noise level.

    alpha = 1, sigma(s) = smallest_ratio (largest_ratio / smallest_ratio)^(s / horizon).

    Arguments:
        smallest_ratio, largest_ratio: noise levels at s = 0 and s = horizon, in data units.
        horizon: the last noising time.
    """

    smallest_ratio: float = eqx.field(static=True, default=0.03, converter=plain)
    largest_ratio: float = eqx.field(static=True, default=10.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)

    def __check_init__(self):
        positive("VE", "horizon", self.horizon)
        _check_interval("VE", self.smallest_ratio, self.largest_ratio)

    @property
    def start(self) -> float:
        return 0.0

    @property
    def _speed(self) -> float:
        return math.log(self.largest_ratio / self.smallest_ratio) / self.horizon

    def signal(self, s: Time) -> Scalar:
        return jnp.ones_like(jnp.asarray(s))

    def noise(self, s: Time) -> Scalar:
        return self.smallest_ratio * jnp.exp(self._speed * s)

    def ratio(self, s: Time) -> Scalar:
        return self.noise(s)

    def time(self, ratio: Time) -> Scalar:
        return jnp.log(ratio / self.smallest_ratio) / self._speed

    def rate(self, s: Time) -> Scalar:
        return jnp.zeros_like(jnp.asarray(s))

    def diffusion(self, t: Time) -> Scalar:
        return self.noise(t) * math.sqrt(2 * self._speed)


class TimeReversal(AbstractDynamics):
    """The game's dynamics of a score-based model: a forward process run from noise to data.

    dX = [-f(s, X) + g(s) v] dt + g(s) dW with s = noising.horizon - t, for t from 0 to
    noising.horizon - noising.start; f(s, x) = r(s) x for a noising such as `VP()`.

    Arguments:
        noising: the process to reverse.

    Raises:
        TypeError: for what is no noising.
        ValueError: for a noising whose functions are not those of one process, and for a smallest
            noise ratio that the numbers in use cannot resolve: near the data s = S - t is rounded.
    """

    noising: AbstractForward

    def __init__(self, noising: AbstractForward):
        _check.of_kind("TimeReversal", "noising", noising, AbstractForward, "pass `VP()` or `VE()`")
        if isinstance(noising, AbstractNoising) and type(noising) not in (VP, SubVP, VE):
            check_consistent(noising)
        check_resolved(noising, jnp.zeros(()).dtype, "TimeReversal")
        self.noising = noising

    @property
    def horizon(self) -> float:
        return self.noising.horizon - self.noising.start

    @property
    def deterministic(self) -> bool:
        return False

    @property
    def euclidean(self) -> bool:
        return True

    def noising_time(self, t: Time) -> Scalar:
        """The noising time s that belongs to the game time t (and the other way round)."""
        return jnp.asarray(self.noising.horizon - t)

    def free(self, t: Time, x: State) -> State:
        return -self.noising.free(self.noising_time(t), x)

    def gain(self, t: Time) -> LinearMap:
        return self.diffusion(t)

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray(self.noising.diffusion(self.noising_time(t)))


def reversed_noising(dynamics: AbstractDynamics) -> AbstractNoising | None:
    """The noising `signal y + noise eps` that dynamics run backwards, beside labels or without.

    `None` for other dynamics, and for forward processes that are not of that form.
    """
    points = dynamics.of_points
    noising = points.noising if isinstance(points, TimeReversal) else None
    return noising if isinstance(noising, AbstractNoising) else None


def _beta(noising: VP | SubVP, s: Time) -> Scalar:
    slope = (noising.beta_max - noising.beta_min) / noising.horizon
    return jnp.asarray(noising.beta_min + slope * s)


def _integral(noising: VP | SubVP, s: Time) -> Scalar:
    slope = (noising.beta_max - noising.beta_min) / noising.horizon
    return jnp.asarray((noising.beta_min + 0.5 * slope * s) * s)


def _time_of(noising: VP | SubVP, integral):
    # The root of the quadratic written without cancellation for small integrals.
    slope = (noising.beta_max - noising.beta_min) / noising.horizon
    return 2 * integral / (noising.beta_min + (noising.beta_min**2 + 2 * slope * integral) ** 0.5)


def _check_beta(owner: str, noising: VP | SubVP) -> None:
    positive(owner, "horizon", noising.horizon)
    positive(owner, "beta_min", noising.beta_min)
    _check.a_number(owner, "beta_max", noising.beta_max, "pass one number beta_max >= beta_min")
    if not (math.isfinite(noising.beta_max) and noising.beta_max >= noising.beta_min):
        raise ValueError(
            f"`{owner}` got beta_max = {noising.beta_max}, expected a finite number >= beta_min = "
            f"{noising.beta_min}: raise beta_max."
        )


def _last_ratio(noising: VP | SubVP) -> float:
    # A number also where a noising is declared inside a traced function.
    with jax.ensure_compile_time_eval():
        return float(noising.ratio(noising.horizon))


def _check_interval(owner: str, smallest: float, largest: float) -> None:
    positive(owner, "smallest_ratio", smallest)
    _check.a_number(
        owner, "largest_ratio", largest, "pass one number largest_ratio > smallest_ratio"
    )
    if not (math.isfinite(largest) and largest > smallest):
        raise ValueError(
            f"`{owner}` got noise ratios from {smallest} to {largest:.4g}, expected the last to be "
            "larger than the first: lower smallest_ratio or add more noise."
        )
