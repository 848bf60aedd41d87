"""Critics: scalar networks whose slope is bounded by construction.

    g(x) = L s h((x - c) / s),     h = W_n a(W_(n-1) ... a(W_1 z + b_1) ...) + b_n

A composition of maps of slope one has slope one. So each weight matrix is divided by its largest
singular value where that is above one (spectral normalisation), and the non-linearity a has slope
one: |g(x) - g(y)| <= L |x - y| for all x, y and all parameters. The singular value is exact, by a
decomposition of the small matrices, not by iteration: the bound holds to rounding at every step of
training.

With a ReLU such a network cannot approach slope one everywhere, since units that are off lose norm.
`max_min` sorts the units by twos: it permutes, so that its Jacobian is orthogonal, and with it
networks of bounded slope are dense among the functions of bounded slope. Its gradient is piecewise
constant; take `jax.nn.softplus` where second derivatives matter.

References: T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral normalization for generative
adversarial networks" (2018), arXiv 1802.05957; C. Anil, J. Lucas, R. Grosse, "Sorting out Lipschitz
function approximation" (2019), arXiv 1811.05381.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Count, Key, Scalar, State
from mfgen.densities._base import AbstractDensity
from mfgen.dynamics._dynamics import positive
from mfgen.math import _entry, _memory
from mfgen.math._count import count
from mfgen.models._named import incoming, outgoing


def max_min(units: Float[Array, "width"]) -> Float[Array, "width"]:
    """The larger and the smaller of unit i and unit i + width / 2, for an even width."""
    first, second = jnp.split(units, 2)
    return jnp.concatenate([jnp.maximum(first, second), jnp.minimum(first, second)])


class LipschitzCritic(eqx.Module):
    """A scalar network with |g(x) - g(y)| <= lipschitz |x - y|; made by `lipschitz_critic`.

    Arguments:
        layers: affine maps, of which the weights are divided by their norms above one.
        centre, scale: of the points, not trained.
        lipschitz: L, not trained.
        activation: a, of slope at most one.
        bounded: whether the weights have been divided already.
    """

    layers: tuple[eqx.nn.Linear, ...]
    centre: Float[Array, "dim"]
    scale: Float[Array, ""]
    lipschitz: Float[Array, ""]
    activation: Callable = eqx.field(static=True)
    bounded: bool = eqx.field(static=True, default=False)

    def __getstate__(self):
        return outgoing(vars(self), "activation")

    def __setstate__(self, state):
        vars(self).update(incoming(state, "activation"))

    def __call__(self, x: State) -> Scalar:
        x = _entry.point("LipschitzCritic", x, self.centre.size)
        centre, scale, bound = jax.lax.stop_gradient((self.centre, self.scale, self.lipschitz))
        layers = self.layers if self.bounded else tuple(map(_bounded, self.layers))
        hidden = (x - centre) / scale
        for layer in layers[:-1]:
            hidden = self.activation(layer(hidden))
        return bound * scale * layers[-1](hidden)[0]

    def frozen(self) -> "LipschitzCritic":
        """The same function with the weights divided once for all: cheaper, not for training."""
        layers = self.layers if self.bounded else tuple(map(_bounded, self.layers))
        return LipschitzCritic(
            layers, self.centre, self.scale, self.lipschitz, self.activation, True
        )


def lipschitz_critic(
    dim: Count,
    *,
    lipschitz: float = 1.0,
    width: Count = 64,
    depth: Count = 3,
    around: AbstractDensity | None = None,
    activation: Callable = max_min,
    key: Key,
) -> LipschitzCritic:
    """A critic of bounded slope with orthogonal weights, which starts with slopes close to L.

    Arguments:
        dim: dimension of the points.
        lipschitz: L, the largest slope.
        width, depth: size and number of the hidden layers.
        around: a law whose mean and spread the points have; the standard normal law if none.
        activation: a function of slope at most one.
        key: random key of the parameters.

    Raises:
        ValueError: for a size below one, an odd width with `max_min`, or L that is not positive.
    """
    positive("lipschitz_critic", "lipschitz", lipschitz)
    dim, width, depth = (
        count("lipschitz_critic", name, size, wanted="a whole number of at least 1")
        for name, size in (("dim", dim), ("width", width), ("depth", depth))
    )
    _check.a_key("lipschitz_critic", key)
    if activation is max_min and width % 2:
        raise ValueError(
            f"`lipschitz_critic` got width = {width}, expected an even number: `max_min` sorts the "
            "units by twos."
        )
    _memory.refuse_network("lipschitz_critic", dim, width, depth)
    centre, scale = jnp.zeros(dim), jnp.ones(())
    if around is not None:
        centre, covariance = around.moments()
        scale = jnp.sqrt(jnp.trace(covariance) / dim)
    sizes = [dim, *[width] * depth, 1]
    layers = tuple(
        _orthogonal(before, after, key=layer_key)
        for before, after, layer_key in zip(
            sizes, sizes[1:], jax.random.split(key, depth + 1), strict=False
        )
    )
    bound = jnp.asarray(lipschitz, scale.dtype)
    return LipschitzCritic(layers, centre, scale, bound, activation)


def _orthogonal(before: int, after: int, *, key: Key) -> eqx.nn.Linear:
    weight_key, bias_key = jax.random.split(key)
    layer = eqx.nn.Linear(before, after, key=key)
    weight = jax.nn.initializers.orthogonal()(weight_key, (after, before), layer.weight.dtype)
    # Kinks within the unit ball of the points.
    bias = jax.random.uniform(bias_key, (after,), weight.dtype, -1.0, 1.0)
    return eqx.tree_at(lambda linear: (linear.weight, linear.bias), layer, (weight, bias))


def _bounded(layer: eqx.nn.Linear) -> eqx.nn.Linear:
    weight = layer.weight
    left, _, right = jnp.linalg.svd(jax.lax.stop_gradient(weight), full_matrices=False)
    # Its derivative with respect to the weight is the one of the largest singular value.
    largest = left[:, 0] @ weight @ right[0]
    return eqx.tree_at(lambda linear: linear.weight, layer, weight / jnp.maximum(largest, 1.0))
