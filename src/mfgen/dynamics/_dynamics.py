"""Controlled dynamics of a particle.

    dX = [ a(t, X) + g(t) v ] dt + sigma(t) dW,        t from 0 to `horizon`

`a` is the free drift, `v` the control, `g` the gain and `sigma` the diffusion, both linear maps: a
number, or a matrix (`mfgen.math._linear_map`). Every model of the zoo is such a control-affine
dynamics plus a cost; the Hamiltonian H(t, x, p) = -p.a + L*(t, x, -g^T p) and the second-order term
tr(sigma sigma^T Hess U) / 2 use nothing else of it.

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

from mfgen import _check
from mfgen._types import Scalar, State, Time
from mfgen.math._linear_map import LinearMap


def plain(value: Any) -> Any:
    """A number held by an array without axes, as a number; other arrays as tuples.

    Numbers that a compiled program depends on are compared and hashed, which arrays cannot be.
    """
    if isinstance(value, Tracer) or not isinstance(value, jax.Array | np.ndarray | np.generic):
        return value
    return _nested(np.asarray(value).tolist())


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


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
    - `free(t, x)`, `gain(t)` (a scalar, or a matrix `[dim, control]`) and `diffusion(t)` (a scalar,
      or a matrix `[dim, noise]`).

    Where a state is made of blocks, such as positions and velocities, `blocks` says of how many,
    and matrices may act on blocks: [[0], [1]] steers the second of two, in any dimension.
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

    @property
    def of_points(self) -> "AbstractDynamics":
        """How points move without their labels."""
        return self

    @property
    def blocks(self) -> int:
        """How many blocks of equal size a state is made of, on which matrices may act."""
        return 1

    @property
    def euclidean(self) -> bool:
        """Whether it is dynamics of Euclidean space alone, such as a noising of other data."""
        return False

    @abstractmethod
    def free(self, t: Time, x: State) -> State:
        """The drift a(t, x) without control, shape `[dim]`."""

    @abstractmethod
    def gain(self, t: Time) -> LinearMap:
        """The gain g(t): a scalar, or a matrix of shape `[dim, control]`."""

    def uniform_gain(self, t: Time) -> Scalar | None:
        """g where each coordinate that moves is steered by its own control, else `None`."""
        gain = self.gain(t)
        return gain if gain.ndim == 0 else None

    @abstractmethod
    def diffusion(self, t: Time) -> LinearMap:
        """The diffusion sigma(t): a scalar, or a matrix of shape `[dim, noise]`."""


class Integrator(AbstractDynamics):
    """The particle goes where it is steered: dX = v dt + sigma dW.

    Arguments:
        sigma: constant diffusion, zero for a deterministic flow; a number, or a matrix
            `[dim, noise]`.
        horizon: the final time T > 0.

    Example:

        MFG(Integrator(sigma=0.5, horizon=2.0), Kinetic(), KL(target))
    """

    sigma: float | tuple = eqx.field(static=True, default=0.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)

    def __check_init__(self):
        positive("Integrator", "horizon", self.horizon)
        check_constant("Integrator", "sigma", self.sigma, "pass sigma=0.0 for a deterministic flow")

    @property
    def deterministic(self) -> bool:
        return not np.any(self.sigma)

    def free(self, t: Time, x: State) -> State:
        return jnp.zeros_like(x)

    def gain(self, t: Time) -> LinearMap:
        return jnp.asarray(1.0)

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray(self.sigma)


def check_constant(owner: str, name: str, value: Any, fix: str) -> None:
    """Refuses, in the name of `owner`, what is neither a number >= 0 nor a matrix.

    Raises:
        ValueError: for another shape, or entries that are not finite.
    """
    advice = "pass one number, or a matrix [dim, noise] such as jnp.diag(sizes)"
    try:
        entries = np.asarray(value)
        if entries.dtype.kind not in "fiu":
            raise TypeError(f"entries of type {entries.dtype}")
        entries = entries.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{owner}` got {name} of type `{type(value).__name__}`, expected a number or a "
            f"matrix: {advice}."
        ) from error
    if entries.ndim == 0 and not (np.isfinite(entries) and entries >= 0):
        raise ValueError(
            f"`{owner}` got {name} = {value}, expected a finite number >= 0 or a matrix: {fix}."
        )
    if entries.ndim not in (0, 2) or not np.isfinite(entries).all() or not entries.size:
        raise ValueError(
            f"`{owner}` got {name} of shape {list(entries.shape)}, expected a number or a matrix "
            f"of finite entries, each noise with its column: {advice}."
        )


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
    blocks = dynamics.blocks
    if dim is not None and dim % blocks:
        raise ValueError(
            f"`{owner}` got dynamics `{name}` whose state is {blocks} blocks of equal size, with "
            f"points of {dim} coordinates, expected a multiple of {blocks}: pass the joint density "
            "of all blocks, such as positions and velocities."
        )
    rows = dim if blocks == 1 or dim is None else f"{dim} or {blocks}"
    for function, width in (("gain", "control"), ("diffusion", "noise")):
        shape = _shape(getattr(dynamics, function), time)
        fits = len(shape) == 2 and (dim is None or shape[0] in (dim, blocks))
        # A single block is the whole state, so that one row is one coordinate.
        if shape != () and (not fits or (blocks == 1 and dim not in (None, shape[0]))):
            expected = f"a scalar or a matrix [{'dim' if rows is None else rows}, {width}]"
            refuse(f"{function}(t)", shape, expected, "such as jnp.diag of one for each coordinate")
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
