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
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar, State, Time

Gain = Float[Array, ""] | Float[Array, "dim control"]


# What is not a number where one is expected, and what to do about noise of several sizes.
_SAME_NOISE = (
    "noise that differs between coordinates is not supported; choose units of each coordinate in "
    "which it is the same"
)


def plain(value: Any) -> Any:
    """A number held by an array without axes, as a number; other arrays as tuples, to be refused.

    Numbers that a compiled program depends on are compared and hashed, which arrays cannot be.
    """
    if isinstance(value, Tracer) or not isinstance(value, jax.Array | np.ndarray | np.generic):
        return value
    return value.item() if value.ndim == 0 else tuple(np.asarray(value).tolist())


def positive(owner: str, name: str, value: float) -> None:
    """Raises a `ValueError` in the name of `owner` unless `value` is finite and positive."""
    _check.a_number(owner, name, value, f"pass one number {name} > 0")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"`{owner}` got {name} = {value}, expected a finite positive number: pass {name} > 0."
        )


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
        """The diffusion coefficient sigma(t), a scalar: the same noise in all coordinates."""


class Integrator(AbstractDynamics):
    """The particle goes where it is steered: dX = v dt + sigma dW.

    Arguments:
        sigma: constant diffusion, zero for a deterministic flow.
        horizon: the final time T > 0.
    """

    sigma: float = eqx.field(static=True, default=0.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)

    def __check_init__(self):
        positive("Integrator", "horizon", self.horizon)
        _check.a_number("Integrator", "sigma", self.sigma, _SAME_NOISE)
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


def check_dynamics(owner: str, dynamics: AbstractDynamics, dim: int | None) -> None:
    """Refuses dynamics whose functions do not have the shapes that all methods rely on.

    Arguments:
        owner: in whose name.
        dynamics: any; nothing is computed, shapes are inferred.
        dim: of the states, if it is known.

    Raises:
        ValueError: names the function, its shape and what was expected.
    """
    name, time = type(dynamics).__name__, jax.ShapeDtypeStruct((), float)

    def refuse(function: str, shape: tuple[int, ...], expected: str, fix: str) -> None:
        raise ValueError(
            f"`{owner}` got dynamics `{name}` whose {function} has the shape {list(shape)}, "
            f"expected {expected}: {fix}."
        )

    positive(name, "horizon", plain(dynamics.horizon))
    diffusion = _shape(dynamics.diffusion, time)
    if diffusion != ():
        refuse("diffusion(t)", diffusion, "a scalar", _SAME_NOISE)
    gain = _shape(dynamics.gain, time)
    if gain != () and (len(gain) != 2 or dim not in (None, gain[0])):
        rows = "dim" if dim is None else dim
        fix = "return a number, or a matrix such as jnp.diag(gains)"
        refuse("gain(t)", gain, f"a scalar or a matrix [{rows}, control]", fix)
    if dim is None:
        return
    try:
        free = _shape(dynamics.free, time, jax.ShapeDtypeStruct((dim,), float))
    except TypeError as error:
        raise ValueError(
            f"`{owner}` got dynamics `{name}` whose free(t, x) does not take the points of its "
            f"initial density, of shape [{dim}]: pass dynamics and a density of one dimension. "
            f"({error})"
        ) from error
    if free != (dim,):
        refuse("free(t, x)", free, f"[{dim}] as x has", "return one velocity for each coordinate")


def _shape(function: Callable, *arguments: Any) -> tuple[int, ...]:
    return jnp.shape(jax.eval_shape(lambda *given: jnp.asarray(function(*given)), *arguments))
