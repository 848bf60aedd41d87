"""Networks of a point and a scalar level: the trunks from which models are built.

A trunk takes a point z of shape `[dim]` and a level in [-1, 1] (a normalised time) and returns a
vector. Both inputs are lifted by Fourier features: smooth networks learn high frequencies slowly,
and random features cos(2 pi B z), sin(2 pi B z) repair that (M. Tancik et al. 2020,
arXiv 2006.10739). Trunks of another kind (convolutional, say) keep the same call signature.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Key, Scalar, State
from mfgen.dynamics._dynamics import positive
from mfgen.math import _entry, _memory
from mfgen.math._count import count
from mfgen.models._named import incoming, outgoing


class LevelFeatures(eqx.Module):
    """The level and its first harmonics, (l, cos(k pi l / 2), sin(k pi l / 2)), k = 1..count.

    Arguments:
        count: the number of harmonics; the output has 2 count + 1 entries.
    """

    count: int = eqx.field(static=True, default=8)

    @property
    def size(self) -> int:
        return 2 * self.count + 1

    def __call__(self, level: Scalar) -> Float[Array, "features"]:
        angles = 0.5 * jnp.pi * level * jnp.arange(1, self.count + 1)
        return jnp.concatenate([level[None], jnp.cos(angles), jnp.sin(angles)])


class SpaceFeatures(eqx.Module):
    """The point and random Fourier features of it, (z, cos(2 pi B z), sin(2 pi B z)).

    The frequencies B are drawn once and not trained.

    Arguments:
        dim: dimension of the point.
        count: the number of frequencies; zero leaves the point alone.
        scale: standard deviation of the frequencies, in cycles per unit of z times 2 pi.
    """

    frequencies: Float[Array, "count dim"]

    def __init__(self, dim: int, count: int, scale: float, *, key: Key):
        self.frequencies = scale * jax.random.normal(key, (count, dim))

    @property
    def size(self) -> int:
        count, dim = self.frequencies.shape
        return dim + 2 * count

    def __call__(self, z: State) -> Float[Array, "features"]:
        z = _entry.point("MLP", z, self.frequencies.shape[1])
        angles = jax.lax.stop_gradient(self.frequencies) @ z
        return jnp.concatenate([z, jnp.cos(angles), jnp.sin(angles)])


class MLP(eqx.Module):
    """A fully connected trunk: (z [dim], level) -> [out] with Fourier features of both.

    Arguments:
        dim: dimension of the point.
        out: size of the output.
        width, depth: size and number of the hidden layers.
        frequencies, scale: number and scale of the random Fourier features of the point.
        activation: the non-linearity; twice differentiable for use in residuals.
    """

    space: SpaceFeatures
    level: LevelFeatures
    layers: tuple[eqx.nn.Linear, ...]
    activation: Callable = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        out: int,
        *,
        width: int = 128,
        depth: int = 3,
        frequencies: int = 16,
        scale: float = 1.0,
        activation: Callable = jax.nn.silu,
        key: Key,
    ):
        _check.a_key("MLP", key)
        _check.a_function("MLP", "activation", activation, "a number, such as jax.nn.silu")
        width = count("MLP", "width", width)
        depth, frequencies = (
            count("MLP", name, size, least=0)
            for name, size in (("depth", depth), ("frequencies", frequencies))
        )
        _memory.refuse_numbers("MLP", frequencies * max(dim, width), frequencies=frequencies)
        _memory.refuse_network("MLP", dim + 2 * frequencies, width, depth)
        space_key, *layer_keys = jax.random.split(key, depth + 2)
        self.space = SpaceFeatures(dim, frequencies, scale, key=space_key)
        self.level = LevelFeatures()
        sizes = [self.space.size + self.level.size, *[width] * depth, out]
        self.layers = tuple(
            eqx.nn.Linear(before, after, key=layer_key)
            for before, after, layer_key in zip(sizes, sizes[1:], layer_keys, strict=False)
        )
        self.activation = activation

    def __getstate__(self):
        return outgoing(vars(self), "activation")

    def __setstate__(self, state):
        vars(self).update(incoming(state, "activation"))

    def __call__(self, z: State, level: Scalar) -> Float[Array, "out"]:
        hidden = jnp.concatenate([self.space(z), self.level(level)])
        for layer in self.layers[:-1]:
            hidden = self.activation(layer(hidden))
        return self.layers[-1](hidden)


class InnerProduct(eqx.Module):
    """A scalar trunk made of a vector one: u.V(u, level) / sqrt(dim) + h(u, level).

    (V, h) is a trunk with dim + 1 outputs. Its gradient contains V itself, as if the network were
    that of a score: in high dimension this fits better than a single output (T. Salimans, J. Ho
    2021 build energies from score networks in the same way). For u = z it would grow like |z|^2
    where nothing was learnt, and outgrow the Gaussian that it corrects: exp(-U) would have no
    integral. So

        u = z / sqrt(1 + |z|^2 / (reach^2 dim)),

    which is nearly z where the data are, |z|^2 ~ dim, and stays within reach sqrt(dim).

    Arguments:
        trunk: takes a point `[dim]` and a level, returns shape `[dim + 1]`.
        reach: deviations of the data beyond which the product grows no more.
    """

    trunk: Callable
    reach: float = eqx.field(static=True, default=3.0)

    def __check_init__(self):
        positive("InnerProduct", "reach", self.reach)

    def __call__(self, z: State, level: Scalar) -> Float[Array, "1"]:
        u = z / jnp.sqrt(1 + z @ z / (self.reach**2 * z.size))
        output = self.trunk(u, level)
        return (u @ output[:-1] / z.size**0.5 + output[-1])[None]
