"""Controlled dynamics: how a particle moves when it is steered.

    dX = [ a(t, X) + g(t) v ] dt + sigma(t) dW,        t from 0 to `horizon`

`a` is the free drift, `v` the control, `g` the gain and `sigma` the diffusion. Every model of the
zoo is such a control-affine dynamics plus a cost; the Hamiltonian
H(t, x, p) = -p.a + L*(t, x, -g p) uses nothing else of it.

References:
    B. J. Zhang, M. A. Katsoulakis, "A mean-field games laboratory for generative modeling"
    (2023), arXiv 2304.13534, section 2.
"""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar, State, Time

Gain = Float[Array, ""] | Float[Array, "dim control"]


class AbstractDynamics(eqx.Module):
    """Control-affine dynamics dX = [a(t, X) + g(t) v] dt + sigma(t) dW on [0, horizon].

    To add one, give

    - `horizon`: the final time T, a positive float;
    - `deterministic`: whether sigma is zero at all times (a property);
    - `free(t, x)`, `gain(t)` (a scalar, or a matrix `[dim, control]`) and `diffusion(t)`.
    """

    horizon: eqx.AbstractVar[float]

    @property
    @abstractmethod
    def deterministic(self) -> bool:
        """Whether sigma is zero at all times, so that no Laplacian is computed."""

    @property
    def fixed(self) -> int:
        """How many coordinates, the last ones, never move: those of a label."""
        return 0

    @abstractmethod
    def free(self, t: Time, x: State) -> State:
        """The drift a(t, x) without control, shape `[dim]`."""

    @abstractmethod
    def gain(self, t: Time) -> Gain:
        """The gain g(t): a scalar, or a matrix of shape `[dim, control]`."""

    def uniform_gain(self, t: Time) -> Scalar | None:
        """g where each coordinate that moves is steered by its own control, else `None`."""
        gain = self.gain(t)
        return gain if gain.ndim == 0 else None

    @abstractmethod
    def diffusion(self, t: Time) -> Scalar:
        """The diffusion coefficient sigma(t), a scalar."""


class Integrator(AbstractDynamics):
    """The particle goes where it is steered: dX = v dt + sigma dW.

    Arguments:
        sigma: constant diffusion, zero for a deterministic flow.
        horizon: the final time T > 0.
    """

    sigma: float = eqx.field(static=True, default=0.0)
    horizon: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        positive("Integrator", "horizon", self.horizon)
        _check.a_number("Integrator", "sigma", self.sigma)
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(
                f"`Integrator` got sigma = {self.sigma}, expected a finite number >= 0: "
                "pass sigma=0.0 for a deterministic flow."
            )

    @property
    def deterministic(self) -> bool:
        return self.sigma == 0.0

    def free(self, t: Time, x: State) -> State:
        return jnp.zeros_like(x)

    def gain(self, t: Time) -> Gain:
        return jnp.asarray(1.0)

    def diffusion(self, t: Time) -> Scalar:
        return jnp.asarray(self.sigma)


def positive(owner: str, name: str, value: float) -> None:
    """Raises a `ValueError` in the name of `owner` unless `value` is finite and positive."""
    _check.a_number(owner, name, value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"`{owner}` got {name} = {value}, expected a finite positive number: pass {name} > 0."
        )
