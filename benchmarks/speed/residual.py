"""A step on an exact Hamilton-Jacobi-Bellman residual: mfgen, plain torch and folx.

    minimise the mean of r^2,    r = dt u - |grad u|^2 / 2 + lap u / 2,    t ~ U[0, 1], x ~ N(0, I)

with u a network of three hidden tanh layers of width 128 in (t, x), in single precision. A step
draws the points, forms r, the gradient of its mean square in the parameters, and moves by Adam.

    mfgen   `hjb` of the game dX = v dt + dW, L = |v|^2 / 2 (which is -r), by `chunked_mean`
    torch   automatic differentiation twice, one backward pass for each coordinate
    folx    its forward Laplacian in x mapped over the batch, and a forward derivative in t

Before anything is timed, value and weight gradient of the three are compared on the same weights
and points.
"""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from folx import forward_laplacian

import mfgen as mg
from benchmarks.harness.timing import Steps
from mfgen.math._chunk import chunked_mean

WIDTH, BATCH, RATE = 128, 1024, 1e-3
TOLERANCE = 1e-3
GAME = mg.MFG(mg.Integrator(sigma=1.0), mg.Kinetic(), mg.functionals.Zero())


class Value(eqx.Module):
    """The network u(t, x), for one sample."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, dim: int, *, key):
        sizes = (dim + 1, WIDTH, WIDTH, WIDTH, 1)
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(itertools.pairwise(sizes), keys, strict=True)
        self.layers = tuple(eqx.nn.Linear(*pair, key=key) for pair, key in pairs)

    def __call__(self, t, x):
        hidden = jnp.concatenate([t[None], x])
        for layer in self.layers[:-1]:
            hidden = jnp.tanh(layer(hidden))
        return self.layers[-1](hidden)[0]


def mfgen_loss(value: Value, t, x):
    def square(value, point):
        return jnp.square(mg.hjb(GAME, value, None, *point))

    return chunked_mean(square, value, (t, x))


def folx_loss(value: Value, t, x):
    def residual(t, x):
        space = forward_laplacian(lambda x: value(t, x))(x)
        _, time = jax.jvp(lambda t: value(t, x), (t,), (jnp.ones_like(t),))
        gradient = space.jacobian.dense_array
        return time - 0.5 * jnp.vdot(gradient, gradient) + 0.5 * space.laplacian

    return jnp.mean(jnp.square(jax.vmap(residual)(t, x)))


def torch_loss(net: torch.nn.Module, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    t.requires_grad_()
    x.requires_grad_()
    u = net(torch.cat([t, x], 1)).sum()
    time, gradient = torch.autograd.grad(u, (t, x), create_graph=True)
    laplacian = torch.zeros(len(x))
    for i in range(x.shape[1]):
        (row,) = torch.autograd.grad(gradient[:, i].sum(), x, create_graph=True)
        laplacian = laplacian + row[:, i]
    residual = time[:, 0] - 0.5 * gradient.square().sum(1) + 0.5 * laplacian
    return residual.square().mean()


def torch_net(value: Value) -> torch.nn.Module:
    """The network in torch, with the same weights."""
    layers: list[torch.nn.Module] = []
    for layer in value.layers:
        linear = torch.nn.Linear(layer.in_features, layer.out_features)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(layer.weight)))
            linear.bias.copy_(torch.tensor(np.asarray(layer.bias)))
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def contenders(dim: int) -> dict[str, Steps]:
    """The three training steps in one dimension, after they are found to agree."""
    value = Value(dim, key=jax.random.key(0))
    check_agreement(value, dim)
    return {
        "mfgen": jax_steps(mfgen_loss, value, dim),
        "torch": torch_steps(value, dim),
        "folx": jax_steps(folx_loss, value, dim),
    }


def draw(key, dim: int):
    """Times `[BATCH]` and points `[BATCH, dim]`."""
    time_key, point_key = jax.random.split(key)
    return jax.random.uniform(time_key, (BATCH,)), jax.random.normal(point_key, (BATCH, dim))


def jax_steps(loss: Callable, value: Value, dim: int) -> Steps:
    """Training steps on a loss written in JAX, one compiled call each."""
    optimiser = optax.adam(RATE)

    def step(state, key):
        value, moments, count = state
        t, x = draw(jax.random.fold_in(key, count), dim)
        gradient = jax.grad(loss)(value, t, x)
        updates, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(value, updates), moments, count + 1

    key = jax.random.key(1)
    state = jax.tree.map(jnp.copy, (value, optimiser.init(value), jnp.asarray(0)))
    compiled = jax.jit(step, donate_argnums=0).lower(state, key).compile()

    def steps(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state = compiled(state, key)
        jax.block_until_ready(state)

    return steps


def torch_steps(value: Value, dim: int) -> Steps:
    """Training steps in plain torch."""
    net = torch_net(value)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)

    def steps(count: int) -> None:
        for _ in range(count):
            loss = torch_loss(net, torch.rand(BATCH, 1), torch.randn(BATCH, dim))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return steps


def check_agreement(value: Value, dim: int) -> None:
    """Compares loss and gradient in a weight matrix on the same weights and points.

    Raises:
        AssertionError: if two of the three differ by more than the tolerance.
    """
    t, x = draw(jax.random.key(2), dim)
    net = torch_net(value)
    loss = torch_loss(net, torch.tensor(np.asarray(t))[:, None], torch.tensor(np.asarray(x)))
    loss.backward()
    expected = net[2].weight.grad.numpy()
    margin = TOLERANCE * np.abs(expected).max()
    for function in (mfgen_loss, folx_loss):
        found, gradient = jax.jit(jax.value_and_grad(function))(value, t, x)
        np.testing.assert_allclose(found, loss.item(), rtol=TOLERANCE)
        np.testing.assert_allclose(gradient.layers[1].weight, expected, rtol=0, atol=margin)
