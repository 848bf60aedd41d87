"""The jet of a function by JAX's own Hessian: slow, and independent of the forward pass."""

import jax
import jax.numpy as jnp

from mfgen.math._autodiff import Jet


def nested_jet(u):
    """(t, x) -> `Jet` of u, the same as `mfgen.math.jet`."""

    def evaluate(t, x):
        t = jnp.asarray(t, x.dtype)
        time, gradient = jax.jacfwd(u, (0, 1))(t, x)
        return Jet(u(t, x), time, gradient, jnp.trace(jax.jacfwd(jax.jacfwd(u, 1), 1)(t, x)))

    return evaluate
