"""Chunked means: equal to the plain mean in value and in every derivative."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math import _chunk as module
from mfgen.math import jet
from mfgen.math._chunk import chunked_mean, default_chunk

CHUNKS = [4, 5, 64, None, "auto"]  # of 10 samples: with, and without a remainder


class Net(eqx.Module):
    """Arrays, an integer array, a function and a string: what models are made of."""

    weight: jax.Array
    order: jax.Array
    activation: object
    name: str

    def __call__(self, x):
        return jnp.sum(self.activation(self.weight @ x)[self.order])


@pytest.fixture
def net(x64):
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)))
    return Net(weight, jnp.array([2, 0]), jnp.tanh, "net")


@pytest.fixture
def batch(x64):
    key = jax.random.key(5)
    return jax.random.normal(key, (10, 2)), jax.random.split(key, 10), jnp.arange(10)


def loss(net, sample):
    x, key, label = sample
    return (net(x) - label) ** 2 + jax.random.bernoulli(key) * jax.grad(net)(x)[0]


def plain_mean(f, parameters, batch, chunk=None):
    return jax.tree.map(jnp.mean, jax.vmap(lambda sample: f(parameters, sample))(batch))


def assert_close(got, expected, rtol=1e-11):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if eqx.is_inexact_array(a):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


def both(f, chunk=4):
    """A function of the mean's definition, by chunks and plainly."""
    chunked = lambda *arguments: chunked_mean(*arguments, chunk=chunk)
    return eqx.filter_jit(lambda: (f(chunked), f(plain_mean)))()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_value_and_gradient_are_those_of_the_plain_mean(net, batch, chunk):
    mean = lambda net, batch: chunked_mean(loss, net, batch, chunk=chunk)
    plain = lambda net, batch: plain_mean(loss, net, batch)

    @eqx.filter_jit
    def evaluate(net, batch):
        slopes = [eqx.filter_value_and_grad(f)(net, batch) for f in (mean, plain)]
        return mean(net, batch), *slopes

    value, got, expected = evaluate(net, batch)
    assert_close(got, expected)
    assert_close(value, expected[0])


@pytest.mark.parametrize("chunk", CHUNKS)
def test_reports_are_means_without_derivatives(net, batch, chunk):
    """The second of two outputs is reported, and only the first is differentiated."""
    both = lambda net, sample: (loss(net, sample), {"square": loss(net, sample) ** 2})

    @eqx.filter_jit
    def evaluate(net):
        mean = lambda net: chunked_mean(both, net, batch, chunk=chunk, reports=True)
        reported = eqx.filter_grad(lambda net: mean(net)[1]["square"])(net)
        got = eqx.filter_value_and_grad(mean, has_aux=True)(net)
        return (
            got,
            eqx.filter_value_and_grad(lambda net: plain_mean(loss, net, batch))(net),
            reported,
        )

    ((value, reports), gradient), expected, reported = evaluate(net)
    assert_close((value, gradient), expected)
    squares = plain_mean(lambda net, sample: loss(net, sample) ** 2, net, batch)
    assert_close(reports["square"], squares)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(eqx.filter(reported, eqx.is_array)))


def test_gradient_of_a_laplacian_residual(net, batch):
    def residual(net, sample):
        return jet(lambda t, x: net(t * x))(0.5, sample[0]).laplacian ** 2

    assert_close(*both(lambda mean: eqx.filter_grad(lambda net: mean(residual, net, batch))(net)))


@pytest.mark.parametrize("chunk", [4, None])
def test_a_tree_of_scalars(net, batch, chunk):
    def parts(net, sample):
        value = loss(net, sample)
        return {"square": value**2, "aux": (jnp.sin(value), sample[2])}

    def combined(mean):
        def total(net):
            value = mean(parts, net, batch)
            return value["square"] * value["aux"][0], value

        return eqx.filter_value_and_grad(total, has_aux=True)(net)

    assert_close(*both(combined, chunk))


def test_gradient_of_what_the_function_closes_over(net, batch):
    def slope(mean):
        total = lambda scale: mean(lambda net, s: jnp.sin(scale * loss(net, s)), net, batch)
        return jax.grad(total)(0.7)

    assert_close(*both(slope))


def test_gradient_of_the_batch(net, batch):
    def slope(mean):
        return jax.grad(lambda x: mean(loss, net, (x, *batch[1:])))(batch[0])

    assert_close(*both(slope))


def test_forward_mode_and_second_derivatives(net, batch):
    def derivatives(mean):
        def total(weight):
            return mean(loss, eqx.tree_at(lambda net: net.weight, net, weight), batch)

        direction = jnp.ones_like(net.weight)
        push = lambda f: jax.jvp(f, (net.weight,), (direction,))
        pulled = jax.grad(lambda w: jnp.vdot(jax.grad(total)(w), direction))(net.weight)
        return push(total), push(jax.grad(total)), pulled

    assert_close(*both(derivatives))


def test_inside_loops_and_maps(net, batch):
    def descend(mean):
        total = lambda weight: mean(loss, eqx.tree_at(lambda net: net.weight, net, weight), batch)
        step = lambda weight: weight - 0.01 * jax.grad(total)(weight)
        scanned, _ = jax.lax.scan(lambda w, _: (step(w), total(w)), net.weight, None, length=2)
        looped = jax.lax.fori_loop(0, jnp.array(2), lambda _, w: step(w), net.weight)
        through = jax.grad(
            lambda w: jax.lax.scan(lambda c, _: (c + total(w), None), 0.0, None, 2)[0]
        )
        ensemble = jax.vmap(jax.grad(total))(jnp.stack([net.weight, 2 * net.weight]))
        return scanned, looped, through(net.weight), ensemble

    assert_close(*both(descend))


def test_default_chunk_depends_on_the_backend(monkeypatch):
    monkeypatch.setattr(module.jax, "default_backend", lambda: "cpu")
    assert default_chunk() == 32
    monkeypatch.setattr(module.jax, "default_backend", lambda: "gpu")
    assert default_chunk() is None


def test_wrong_arguments_are_refused(net, batch):
    with pytest.raises(ValueError, match="chunk=0, expected a positive integer"):
        chunked_mean(loss, net, batch, chunk=0)
    with pytest.raises(ValueError, match="leading axes"):
        chunked_mean(loss, net, (batch[0], batch[1][:5], batch[2]))
    with pytest.raises(ValueError, match="at least one sample"):
        chunked_mean(loss, net, jax.tree.map(lambda leaf: leaf[:0], batch))
    with pytest.raises(ValueError, match=r"returns shapes \[\(2,\)\]"):
        chunked_mean(lambda net, sample: sample[0], net, batch)
