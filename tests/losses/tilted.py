"""A model that is off the exact one by a multiple of a given field: losses are flat at multiple 0.

With s = s* + h phi a score matching loss is a parabola in h, whose slope at 0 has mean zero if and
only if s* is right. A field that is off by its own size has a slope of many standard errors.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import mfgen as mg


class Tilted(mg.models.AbstractVectorField):
    exact: mg.models.AbstractModel
    multiple: jax.Array
    labels: int = 0
    tilt: Callable = lambda t, x: jnp.sin(x + t) + 0.5 * x

    def costate(self, t, x):
        dim = x.size - self.labels
        along = jnp.pad(self.tilt(t, x[:dim]), (0, self.labels))
        return self.exact.costate(t, x) + self.multiple * along


def slopes(game, exact, loss, draw, *, labels=0, at=0.0, count=12, size=512):
    """The slope of the loss in the multiple, once for each of `count` batches."""

    def one(key):
        batch = draw(size, key=key)
        value = lambda h: loss(game, Tilted(exact, h, labels), batch, key=key)
        return jax.grad(value)(jnp.asarray(at))

    return np.asarray(
        jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(5), count))
    )


def is_flat(found, steps=4.0):
    return abs(found.mean()) < steps * found.std(ddof=1) / len(found) ** 0.5
