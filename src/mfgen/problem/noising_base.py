"""The interface of noising processes: dY = r(s) Y ds + g(s) dW with a kernel in closed form.

    Y_s = alpha(s) y_0 + sigma(s) eps,     alpha' = r alpha,     g^2 = (sigma^2)' - 2 r sigma^2

Its members, and the game that runs them backwards: `mfgen.problem.noising`.
"""

from abc import abstractmethod

from mfgen._types import Scalar, State, Time
from mfgen.math.linear_map import LinearMap
from mfgen.problem.dynamics import AbstractDynamics


class AbstractNoising(AbstractDynamics):
    """A linear noising process with kernel Y_s = signal(s) y_0 + noise(s) eps.

    To add one, give `signal`, `noise`, `rate`, `diffusion`, `ratio` and its inverse `time`, and
    the interval [start, horizon] of noising times on which it is used.
    """

    @property
    @abstractmethod
    def start(self) -> float:
        """The smallest noising time in use, where the game stops."""

    @abstractmethod
    def signal(self, s: Time) -> Scalar:
        """alpha(s), the factor that multiplies the data."""

    @abstractmethod
    def noise(self, s: Time) -> Scalar:
        """sigma(s), the standard deviation of the added noise."""

    @abstractmethod
    def ratio(self, s: Time) -> Scalar:
        """kappa(s) = noise(s) / signal(s), increasing in s."""

    @abstractmethod
    def time(self, ratio: Time) -> Scalar:
        """The noising time s at which `ratio(s)` has the given value."""

    @abstractmethod
    def rate(self, s: Time) -> Scalar:
        """r(s) of the linear drift r(s) y."""

    @property
    def deterministic(self) -> bool:
        return False

    def free(self, t: Time, x: State) -> State:
        return self.rate(t) * x

    def gain(self, t: Time) -> LinearMap:
        return self.diffusion(t)
