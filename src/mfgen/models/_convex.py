"""Input-convex networks, and the optimal transport that the gradient of one is.

    psi(x) = s^2 ( |A u|^2 / 2 + b.u + e |u|^2 / 2 + w.z_M ) + c.x,      u = (x - c) / s
    z_0 = sigma(K_0 u + b_0),      z_i = sigma(W_i z_(i-1) + K_i u + b_i),      sigma = softplus

With w and all W_i of positive entries each z_i is a convex function of x, since sigma is convex and
increasing; so psi is convex for all parameters, with a Hessian of at least e: T = grad psi is one
to one, and the optimal transport of any law to where it carries it (Brenier). Weights are made
positive by softplus. At the start A is the identity and w small: T is near the identity.

The particles of a game with L = |v|^2 / (2 h), carried from x to T(x), move on straight lines,

    X_t = (1 - t) x + t T(x),      p(t, X_t) = (x - T(x)) / h

and x is found from X_t as argmax of x.X_t - (1 - t) |x|^2 / 2 - t psi(x), which is concave.

References:
    B. Amos, L. Xu, J. Z. Kolter, "Input convex neural networks" (2017), arXiv 1609.07152.
    P. Mokrov et al., "Large-scale Wasserstein gradient flows" (2021), arXiv 2106.00736.
    Y. Brenier, "Polar factorization and monotone rearrangement of vector-valued functions" (1991).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.math import _entry, _memory
from mfgen.math._count import count
from mfgen.math._legendre import maximiser
from mfgen.models._base import AbstractVectorField

# The least curvature, and log w at the start.
_FLOOR, _SMALL = 1e-3, -4.0


class InputConvex(eqx.Module):
    """A strictly convex function psi on R^dim, twice differentiable.

    Arguments:
        lifts: K_0 ... K_M, each `[width, dim]`.
        shifts: b_0 ... b_M, each `[width]`.
        layers: W_1 ... W_M before they are made positive, each `[width, width]`.
        outlet: w before it is made positive, `[width]`.
        factor: A, `[dim, dim]`.
        slope: b, `[dim]`.
        centre, scale: c, `[dim]`, and s, which are not trained.
    """

    lifts: tuple[Float[Array, "width dim"], ...]
    shifts: tuple[Float[Array, "width"], ...]
    layers: tuple[Float[Array, "width width"], ...]
    outlet: Float[Array, "width"]
    factor: Float[Array, "dim dim"]
    slope: Float[Array, "dim"]
    centre: Float[Array, "dim"]
    scale: Scalar

    def __call__(self, x: State) -> Scalar:
        x = _entry.point("ConvexPotential", x, self.centre.size)
        centre, scale = jax.lax.stop_gradient((self.centre, self.scale))
        u = (x - centre) / scale
        hidden = jax.nn.softplus(self.lifts[0] @ u + self.shifts[0])
        for lift, shift, layer in zip(self.lifts[1:], self.shifts[1:], self.layers, strict=True):
            positive = jax.nn.softplus(layer) / hidden.size
            hidden = jax.nn.softplus(positive @ hidden + lift @ u + shift)
        network = jax.nn.softplus(self.outlet) @ hidden / hidden.size**0.5
        quadratic = 0.5 * jnp.sum((self.factor @ u) ** 2) + 0.5 * _FLOOR * (u @ u)
        return scale**2 * (quadratic + self.slope @ u + network) + centre @ x

    def transport(self, x: State) -> State:
        """T(x) = grad psi(x), `[dim]`."""
        return jax.grad(self.__call__)(x)

    def stretched(self, x: State) -> tuple[State, Scalar]:
        """T(x) and log det of its Jacobian, the Hessian of psi, exactly.

        The Hessian takes `dim` products with a vector and its determinant dim^3 operations: for low
        and moderate dimension.
        """
        slope = jax.grad(self.__call__)
        return slope(x), jnp.linalg.slogdet(jax.jacfwd(slope)(x))[1]


class Transport(AbstractVectorField):
    """Particles on straight lines from x to grad psi(x), for L = |v|^2 / (2 h) on [0, 1].

    Arguments:
        potential: psi.
        step: h.
    """

    potential: InputConvex
    step: float = eqx.field(static=True)

    def costate(self, t: Time, x: State) -> Costate:
        t = jnp.asarray(t, x.dtype)
        along = lambda y: 0.5 * (1 - t) * (y @ y) + t * self.potential(y)
        start, _ = maximiser(along, x)
        return (start - self.potential.transport(start)) / self.step


def input_convex(
    dim: int,
    *,
    key: Key,
    width: int = 32,
    depth: int = 2,
    around: AbstractDensity | None = None,
) -> InputConvex:
    """A convex function whose gradient is near the identity.

    Arguments:
        dim: dimension of the space.
        key: random key of the parameters.
        width: of the layers.
        depth: M, the number of layers after the first.
        around: where it will be used, the standard normal law if absent: its mean is c, and s^2 its
            mean variance.

    Source: B. Amos, L. Xu, J. Z. Kolter (2017), arXiv 1609.07152, the fully convex network.
    """
    width, depth = (
        count("input_convex", name, size) for name, size in (("width", width), ("depth", depth))
    )
    _memory.refuse_network("input_convex", dim, width, depth)
    centre, scale = jnp.zeros(dim), jnp.ones(())
    if around is not None:
        centre, covariance = around.moments()
        scale = jnp.sqrt(jnp.trace(covariance) / dim)
    lift_key, shift_key, layer_key = jax.random.split(key, 3)
    lifts = jax.random.normal(lift_key, (depth + 1, width, dim)) / dim**0.5
    shifts = jax.random.normal(shift_key, (depth + 1, width))
    layers = jax.random.normal(layer_key, (depth, width, width))
    return InputConvex(
        tuple(lifts),
        tuple(shifts),
        tuple(layers),
        jnp.full(width, _SMALL),
        jnp.eye(dim),
        jnp.zeros(dim),
        centre,
        scale,
    )
