"""Flattened contractions: the same values and gradients, as products of matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math._contraction import flatten_contractions

RANDOM = np.random.default_rng(0)
LEFT = RANDOM.normal(size=(3, 4, 5))


def ranks(f, *arguments):
    """Ranks of the operands of every contraction."""
    program = jax.make_jaxpr(f)(*arguments).jaxpr
    return [
        tuple(atom.aval.ndim for atom in line.invars)
        for line in program.eqns
        if line.primitive.name == "dot_general"
    ]


@pytest.mark.parametrize(
    ("subscripts", "shape"),
    [
        ("abi,ij->abj", (5, 2)),
        ("abi,ji->abj", (2, 5)),
        ("abi,abj->ij", (3, 4, 2)),
        ("abi,abij->j", (3, 4, 5, 2)),
        ("abi,i->ab", (5,)),
        ("abi,bij->aj", (4, 5, 2)),
    ],
)
def test_a_contraction_becomes_a_product_of_matrices(x64, subscripts, shape):
    right = jnp.asarray(RANDOM.normal(size=shape))
    product = lambda left, right: jnp.einsum(subscripts, left, right)
    flat = flatten_contractions(product)
    expected = np.einsum(subscripts, LEFT, right)
    np.testing.assert_allclose(flat(jnp.asarray(LEFT), right), expected, rtol=1e-12)
    assert ranks(flat, LEFT, right) == [(2, 2)]


@pytest.mark.parametrize(
    ("subscripts", "shape"), [("abi,aij->abj", (3, 5, 2)), ("abi,bj->aij", (4, 2))]
)
def test_other_contractions_are_left_alone(x64, subscripts, shape):
    right = jnp.asarray(RANDOM.normal(size=shape))
    product = lambda left, right: jnp.einsum(subscripts, left, right)
    flat = flatten_contractions(product)
    expected = np.einsum(subscripts, LEFT, right)
    np.testing.assert_allclose(flat(jnp.asarray(LEFT), right), expected, rtol=1e-12)
    assert ranks(flat, LEFT, right) == ranks(product, LEFT, right)


def test_a_weight_gradient_becomes_a_product_of_matrices(x64):
    weight = jnp.asarray(RANDOM.normal(size=(5, 2)))
    layer = jax.jit(lambda weight: jnp.sum(jnp.tanh(jnp.einsum("abi,ij->abj", LEFT, weight))))
    flat = jax.grad(flatten_contractions(layer))
    np.testing.assert_allclose(flat(weight), jax.grad(layer)(weight), rtol=1e-12)
    assert set(ranks(flat, weight)) == {(2, 2)}


def test_trees_and_custom_rules_are_kept(x64):
    @jax.custom_jvp
    def scaled(x):
        return x

    scaled.defjvp(lambda x, dx: (x[0], 3 * dx[0]))
    f = lambda tree: {"y": scaled(tree["x"]).sum(), "n": tree["n"]}
    tree = {"x": jnp.ones(3), "n": jnp.arange(2)}
    flat = flatten_contractions(f)
    assert jax.tree.structure(flat(tree)) == jax.tree.structure(f(tree))
    slope = jax.grad(lambda x: flat({**tree, "x": x})["y"])(tree["x"])
    np.testing.assert_array_equal(slope, 3.0)


RANDOM = np.random.default_rng(0)


def test_axes_contracted_crosswise_keep_their_pairs(x64):
    left, right = RANDOM.normal(size=(3, 4, 5)), RANDOM.normal(size=(4, 3, 2))
    product = lambda a, b: jax.lax.dot_general(a, b, (((0, 1), (1, 0)), ((), ())))
    flat = flatten_contractions(product)(jnp.asarray(left), jnp.asarray(right))
    np.testing.assert_allclose(flat, np.einsum("abi,baj->ij", left, right), rtol=1e-12)
