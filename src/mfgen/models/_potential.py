"""The potential of OT-Flow: a residual network plus a quadratic form, with its exact Laplacian.

    U(t, x) = w.N(s) + (1/2) s.(A^T A) s + b.s + c,    s = (x, t) in R^(d+1)

    u_0 = sigma(z_0),                z_0 = K_0 s + b_0
    u_i = u_(i-1) + h sigma(z_i),    z_i = K_i u_(i-1) + b_i,    h = 1 / M,    i = 1..M,    N = u_M

with sigma(z) = log(e^z + e^-z), so that sigma' = tanh and sigma'' = 1 - tanh^2. U is a value
function (cost to go): a particle of unit kinetic cost moves along -grad U. One sweep forward
gives z_i, one backward q_i = d(w.N) / d sigma(z_i), and then

    (grad U, dt U) = K_0^T (q_0 tanh z_0) + A^T A s + b
    lap U = sum_i q_i.(1 - tanh^2 z_i) |grad z_i|^2 + sum of squares of the columns of A along x

where |grad z_i|^2 is taken entry by entry: the first is the squared rows of K_0, the others are
carried along with the layers as the [d, width] matrix of the slopes of u_(i-1). No Hessian is
formed; the Laplacian costs d products of a layer with a vector for each layer after the first.

Reference: D. Onken, S. Wu Fung, X. Li, L. Ruthotto, "OT-Flow: fast and accurate continuous
normalizing flows via optimal transport" (2021), arXiv 2006.00104, sections 3 and 4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.math import _entry, _memory
from mfgen.math._autodiff import Jet
from mfgen.math._count import count
from mfgen.models._base import AbstractPotential
from mfgen.models._domain import OnDomain, feature_count, initial_of


class OTFlowPotential(AbstractPotential):
    """A residual network plus a quadratic form of (x, t), as a value function U(t, x).

    Arguments:
        lift: K_0, shape `[width, dim + 1]`; the last column belongs to the time.
        layers: K_1 ... K_M, each `[width, width]`.
        shifts: b_0 ... b_M, each `[width]`.
        outlet: w, shape `[width]`.
        factor: A, shape `[rank, dim + 1]`.
        slope: b, shape `[dim + 1]`.
        constant: c.
    """

    lift: Float[Array, "width inputs"]
    layers: tuple[Float[Array, "width width"], ...]
    shifts: tuple[Float[Array, "width"], ...]
    outlet: Float[Array, "width"]
    factor: Float[Array, "rank inputs"]
    slope: Float[Array, "inputs"]
    constant: Scalar

    def __call__(self, t: Time, x: State) -> Scalar:
        x = _entry.point("OTFlowPotential", x, self.lift.shape[1] - 1)
        return self._forward(_joint(t, x))[0]

    def costate(self, t: Time, x: State) -> Costate:
        s = _joint(t, x)
        return self._backward(s, self._forward(s)[1])[0][:-1]

    def jet(self, t: Time, x: State, fixed: int = 0) -> Jet:
        """U, dt U, grad U and lap U in closed form, at one point."""
        s = _joint(t, x)
        value, bends = self._forward(s)
        gradient, weights = self._backward(s, bends)
        return Jet(
            value, gradient[-1], gradient[:-1], self._laplacian(bends, weights, x.size - fixed)
        )

    @property
    def _step(self) -> float:
        return 1 / len(self.layers)

    def _forward(self, s: Array) -> tuple[Scalar, list[Array]]:
        """U, and tanh z_i of every layer."""
        inner = self.lift @ s + self.shifts[0]
        hidden, bends = _antiderivative(inner), [jnp.tanh(inner)]
        for layer, shift in zip(self.layers, self.shifts[1:], strict=True):
            inner = layer @ hidden + shift
            hidden = hidden + self._step * _antiderivative(inner)
            bends.append(jnp.tanh(inner))
        stretched = self.factor @ s
        value = self.outlet @ hidden + 0.5 * stretched @ stretched + self.slope @ s + self.constant
        return value, bends

    def _backward(self, s: Array, bends: list[Array]) -> tuple[Array, list[Array]]:
        """The derivative of U along (x, t), and q_i of every layer."""
        adjoint, weights = self.outlet, []
        for layer, bend in zip(reversed(self.layers), reversed(bends), strict=False):
            weights.append(self._step * adjoint)
            adjoint = adjoint + (weights[-1] * bend) @ layer
        weights.append(adjoint)
        quadratic = (self.factor @ s) @ self.factor
        gradient = (adjoint * bends[0]) @ self.lift + quadratic + self.slope
        return gradient, weights[::-1]

    def _laplacian(self, bends: list[Array], weights: list[Array], dim: int) -> Scalar:
        """The sum of the second derivatives along the first `dim` inputs."""
        # Directions by units, not units by directions: a product with a layer is then one of
        # matrices for a whole batch, and so is its weight gradient.
        along = self.lift[:, :dim].T
        total = jnp.sum(jnp.square(self.factor[:, :dim]))
        total = total + _curvature(bends[0], weights[0], along)
        slopes = bends[0][None] * along
        for i, layer in enumerate(self.layers, 1):
            along = slopes @ layer.T
            total = total + _curvature(bends[i], weights[i], along)
            slopes = slopes + (self._step * bends[i])[None] * along
        return total


def ot_flow_potential(
    game: MFG, *, width: int = 32, depth: int = 2, rank: int | None = None, key: Key
) -> OTFlowPotential | OnDomain:
    """An `OTFlowPotential` for a game, at random weights; on a domain, of its features.

    The weights w begin at 1 / width and A is small, so the flow begins near the identity, where a
    few steps of an integrator follow it accurately.

    Arguments:
        game: a game with an initial density.
        width: the number of hidden units.
        depth: the number of layers, the first one included.
        rank: rows of A, the greatest rank of the quadratic form; min(10, dim + 1) if absent.
        key: random key for the initial weights.

    Raises:
        ValueError: for a game without an initial density, or a size that is no positive integer.
    """
    initial = initial_of("ot_flow_potential", game)
    _check.a_key("ot_flow_potential", key)
    inputs = feature_count(game.domain, initial.dim) + 1
    rank = min(10, inputs) if rank is None else rank
    width, depth, rank = (
        count("ot_flow_potential", name, size)
        for name, size in (("width", width), ("depth", depth), ("rank", rank))
    )
    _memory.refuse_numbers("ot_flow_potential", rank * inputs, rank=rank)
    _memory.refuse_network("ot_flow_potential", inputs, width, depth)
    factor_key, *keys = jax.random.split(key, depth + 1)
    fans = [inputs, *[width] * (depth - 1)]
    pairs = [jax.random.split(key) for key in keys]
    matrices = [
        _uniform(pair[0], (width, fan), fan**-0.5) for pair, fan in zip(pairs, fans, strict=True)
    ]
    potential = OTFlowPotential(
        lift=matrices[0],
        layers=tuple(matrices[1:]),
        shifts=tuple(
            _uniform(pair[1], (width,), fan**-0.5) for pair, fan in zip(pairs, fans, strict=True)
        ),
        outlet=jnp.full(width, 1 / width),
        factor=_uniform(factor_key, (rank, inputs), 0.1),
        slope=jnp.zeros(inputs),
        constant=jnp.zeros(()),
    )
    return OnDomain(potential, game.domain) if game.domain.bounded else potential


@jax.custom_jvp
def _antiderivative(z: Array) -> Array:
    """sigma(z) = log(e^z + e^-z), without overflow."""
    size = jnp.abs(z)
    # A tail lost to rounding beside 1 would be lost beside |z| too: `log1p` gains nothing here.
    return size + jnp.log(1 + jnp.exp(-2 * size))


@_antiderivative.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # |z| has no curvature for JAX at 0, where sigma has its greatest; tanh is known anyway.
    (z,), (slope,) = primals, tangents
    return _antiderivative(z), jnp.tanh(z) * slope


def _joint(t: Time, x: State) -> Float[Array, "inputs"]:
    return jnp.append(x, jnp.asarray(t, x.dtype))


def _curvature(bend: Array, weight: Array, along: Array) -> Scalar:
    """sum_l q_l sigma''(z_l) |grad z_l|^2, with `along` the `[dim, width]` slopes of z."""
    return (weight * (1 - jnp.square(bend))) @ jnp.sum(jnp.square(along), axis=0)


def _uniform(key: Key, shape: tuple[int, ...], bound: float) -> Array:
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
