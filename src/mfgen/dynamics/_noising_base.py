"""The interfaces of forward processes, which carry data to noise and which a game runs backwards.

    dY = f(s, Y) ds + g(s) dW                                     `AbstractForward`
    dY = r(s) Y ds + g(s) dW                                      `AbstractNoising`

The second has a kernel in closed form, and is known by it alone:

    Y_s = alpha(s) y_0 + sigma(s) eps,     r = (log alpha)',     g^2 = (sigma^2)' - 2 r sigma^2

Every forward process has a clock, the noise ratio kappa(s), by which noise levels are drawn, steps
are taken and residuals are weighted; sigma(s) is the size of its noise, and the two belong together

    d log kappa / ds = g^2 / (2 sigma^2).

Its members, and the game that runs them backwards: `mfgen.dynamics._noising`.
"""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Costate, Scalar, State, Time
from mfgen.dynamics._dynamics import AbstractDynamics
from mfgen.math._autodiff import divergence
from mfgen.math._linear_map import LinearMap, mean_square

_HALVINGS = 30  # of an interval of times, down to rounding


class AbstractForward(AbstractDynamics):
    """A diffusion dY = f(s, Y) ds + g(s) dW from data to noise.

    To add one, give `free`, `diffusion`, `start` and `horizon`, the clock `ratio` with the size of
    noise `noise`, and `moved`, which draws Y_s given Y_0. Where the law of Y_s given Y_0 is
    Gaussian with covariance R R^T, `whitened` is R^T p; it says so by `closed`.
    """

    @property
    @abstractmethod
    def start(self) -> float:
        """The smallest noising time in use, where the game stops."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the law of Y_s given Y_0 is known."""

    @property
    def draws(self) -> int:
        """How many standard normal vectors are needed for a draw of Y_s given Y_0."""
        return 1

    @abstractmethod
    def ratio(self, s: Time) -> Scalar:
        """kappa(s), the clock: positive and increasing in s."""

    @abstractmethod
    def noise(self, s: Time) -> Scalar:
        """sigma(s), the size of the noise."""

    @abstractmethod
    def moved(self, s: Time, x: State, eps: Float[Array, "..."]) -> State:
        """Y_s given Y_0 = x, by standard normal vectors eps: `[dim]`, or `[draws, dim]`."""

    @abstractmethod
    def whitened(self, s: Time, p: Costate) -> Costate:
        """R^T p, where R R^T is the covariance of Y_s given Y_0: -R^T grad log is then eps."""

    def divergence(self, s: Time, x: State) -> Scalar:
        """div f(s, x)."""
        return divergence(lambda x: self.free(s, x))(x)

    def time(self, ratio: Time) -> Scalar:
        """The noising time s at which `ratio(s)` has the given value, by halving [start, horizon].

        The last step is one of Newton's, which makes derivatives right, too.
        """
        wanted = jnp.log(jnp.asarray(ratio, float))

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            above = jnp.log(self.ratio(middle)) > jax.lax.stop_gradient(wanted)
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        ends = jnp.full_like(wanted, self.start), jnp.full_like(wanted, self.horizon)
        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
        s = 0.5 * (low + high)
        level, speed = jax.value_and_grad(lambda s: jnp.log(self.ratio(s)))(s)
        return jnp.clip(s + (wanted - level) / speed, self.start, self.horizon)

    @property
    def deterministic(self) -> bool:
        return False

    def gain(self, t: Time) -> LinearMap:
        return self.diffusion(t)


class AbstractNoising(AbstractForward):
    """A linear noising process with kernel Y_s = signal(s) y_0 + noise(s) eps.

    To add one, give `signal`, `noise` and the interval [start, horizon] of noising times on which
    it is used. The rest follows from them by differentiation and root finding; a closed form of
    `rate`, `diffusion`, `ratio` or `time` is an override that saves time, and is compared with
    them before a game is made of it. For two functions there is `Noising`.
    """

    @property
    def closed(self) -> bool:
        return True

    @abstractmethod
    def signal(self, s: Time) -> Scalar:
        """alpha(s), the factor that multiplies the data."""

    @abstractmethod
    def noise(self, s: Time) -> Scalar:
        """sigma(s), the standard deviation of the added noise."""

    def ratio(self, s: Time) -> Scalar:
        """kappa(s) = noise(s) / signal(s), increasing in s."""
        return self.noise(s) / self.signal(s)

    def rate(self, s: Time) -> Scalar:
        """r(s) of the linear drift r(s) y, the derivative of log signal."""
        return jax.grad(lambda s: jnp.log(self.signal(s)))(jnp.asarray(s, float))

    def diffusion(self, t: Time) -> Scalar:
        """g(s), the root of (noise^2)' - 2 rate noise^2."""
        s = jnp.asarray(t, float)
        noise, slope = jax.value_and_grad(self.noise)(s)
        return jnp.sqrt(2 * noise * (slope - self.rate(s) * noise))

    def moved(self, s: Time, x: State, eps: Float[Array, "..."]) -> State:
        return self.signal(s) * x + self.noise(s) * eps

    def whitened(self, s: Time, p: Costate) -> Costate:
        return self.noise(s) * p

    def free(self, t: Time, x: State) -> State:
        return self.rate(t) * x

    def divergence(self, s: Time, x: State) -> Scalar:
        return self.rate(s) * x.size


def log_ratio_speed(noising: AbstractForward, s: Time) -> Scalar:
    """d(log kappa)/ds = g^2 / (2 sigma^2): how fast the log noise ratio grows with s."""
    return 0.5 * mean_square(jnp.asarray(noising.diffusion(s)) / noising.noise(s))
