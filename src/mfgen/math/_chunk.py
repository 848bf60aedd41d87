"""Means over a batch in chunks that stay in the cache of a processor.

The mean over n samples of f(theta, z_i) and its gradient are sums over chunks, so one scan yields
both: the gradient of each chunk is added up in the forward pass, and nothing of a chunk outlives
it. Second derivatives of a network make [chunk, dim, width] arrays; held in the cache they cost a
half to a third of the same work on the whole batch. An accelerator has no such cache and wants the
whole batch at once, which is therefore the default there.
"""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import PyTree

from mfgen.math._contraction import flatten_contractions
from mfgen.math._count import whole

CPU_CHUNK = 32


def default_chunk() -> int | None:
    """Samples per chunk on the current backend: 32 on a processor, None (all) on an accelerator."""
    return CPU_CHUNK if jax.default_backend() == "cpu" else None


def chunked_mean(
    f: Callable[[Any, Any], PyTree],
    parameters: PyTree,
    batch: PyTree,
    *,
    chunk: int | Literal["auto"] | None = "auto",
    reports: bool = False,
) -> PyTree:
    """Mean of f(parameters, sample) over a batch, computed in chunks: (1/n) sum_i f(theta, z_i).

    The gradient with respect to the parameters, or to anything f closes over, is accumulated
    chunk by chunk inside the forward pass when f returns one scalar. When it returns several, or
    when the batch itself is differentiated, each chunk is evaluated again in the backward pass.

    Arguments:
        f: (parameters, sample) -> scalar, or tree of scalars.
        parameters: any tree, for instance an Equinox module.
        batch: a tree of arrays with a common leading axis, the samples.
        chunk: the samples per chunk, None for the whole batch, or "auto" for `default_chunk`.
        reports: f returns (scalar, tree of scalars), of which the tree is for reports alone: no
            derivative passes through it, and the first scalar keeps the fast gradient.

    Returns:
        the mean of each scalar.

    Raises:
        ValueError: if the leading axes differ, the chunk is not positive, or f returns arrays.
    """
    size = _batch_size(batch)
    width = _chunk_size(chunk)
    moving, fixed = eqx.partition(parameters, eqx.is_inexact_array)
    single = lambda moving, sample: f(eqx.combine(moving, fixed), sample)
    # Closed-over arrays become arguments, so that the custom rule sees their derivatives.
    first = jax.tree.map(lambda leaf: leaf[0], batch)
    single, closed = jax.closure_convert(single, moving, first)
    output = jax.eval_shape(single, moving, first, *closed)
    _check_scalars(output)

    def total(leaves, part):
        moving, closed = leaves
        values = jax.vmap(lambda sample: single(moving, sample, *closed))(part)
        return jax.tree.map(jnp.sum, values)

    one = jax.tree.structure(output) == jax.tree.structure(0.0)
    if width is not None:
        total = flatten_contractions(total)
    if width is not None and not (one or reports):
        sums = _recomputed_sum(total, min(width, size))((moving, closed), batch)
    else:
        pair = _reported(total) if reports else lambda *arguments: (total(*arguments), ())
        whole = pair if width is None else _chunked_sum(pair, min(width, size))
        sums = whole((moving, closed), batch)
        sums = sums if reports else sums[0]
    return jax.tree.map(lambda value: value / size, sums)


def _reported(total: Callable) -> Callable:
    """The same sums, of which all but the first are constants to differentiation."""

    def evaluate(leaves, part):
        value, reports = total(leaves, part)
        return value, jax.lax.stop_gradient(reports)

    return evaluate


def _chunk_size(chunk: int | str | None) -> int | None:
    if chunk == "auto":
        return default_chunk()
    if chunk is None:
        return None
    number = whole(chunk)
    if number is None or number < 1:
        raise ValueError(
            f"`chunked_mean` got chunk={chunk!r}, expected a positive integer: pass the number of "
            'samples per chunk, None for the whole batch, or "auto".'
        )
    return number


def _batch_size(batch: PyTree) -> int:
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError(
            f"`chunked_mean` got a batch with leading axes {sorted(sizes)}, expected one common "
            "axis of at least one sample: give every array in `batch` the samples as first axis."
        )
    ((size,),) = sizes
    return size


def _check_scalars(output: PyTree) -> None:
    shapes = {leaf.shape for leaf in jax.tree.leaves(output)}
    if shapes != {()}:
        raise ValueError(
            f"`chunked_mean` got a function that returns shapes {sorted(shapes)}, expected (): "
            "return one scalar, or a tree of scalars, per sample."
        )


def chunk_sums(g: Callable, batch: PyTree, width: int) -> PyTree:
    """The sum of g over consecutive chunks of a batch; the last may be shorter.

    Arguments:
        g: a chunk -> a tree of arrays.
        batch: a tree of arrays with a common leading axis.
        width: of a chunk, at most that of the batch.
    """
    size = _batch_size(batch)
    count = size // width
    add = lambda left, right: jax.tree.map(jnp.add, left, right)
    take = lambda start, stop: jax.tree.map(lambda leaf: leaf[start:stop], batch)
    if count == 1:
        sums = g(take(0, width))
    else:
        parts = jax.tree.map(
            lambda leaf: leaf.reshape((count, width, *leaf.shape[1:])), take(0, count * width)
        )
        shapes = jax.eval_shape(g, take(0, width))
        start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        sums, _ = jax.lax.scan(lambda sums, part: (add(sums, g(part)), None), start, parts)
    return sums if count * width == size else add(sums, g(take(count * width, size)))


def _recomputed_sum(total: Callable, width: int) -> Callable:
    """(leaves, batch) -> sums, differentiable in both; a chunk is evaluated again backwards."""
    total = jax.checkpoint(total, prevent_cse=False)
    return lambda leaves, batch: chunk_sums(lambda part: total(leaves, part), batch, width)


def _chunked_sum(total: Callable, width: int) -> Callable:
    """(leaves, batch) -> (sum, reports), the derivative of the sum formed with its value.

    The rule is a forward one, linear in the tangents, so forward and reverse mode both use it.
    """
    evaluate = jax.custom_jvp(
        lambda leaves, batch: chunk_sums(lambda part: total(leaves, part), batch, width)
    )

    def derivative(primals, tangents):
        flat, tree = jax.tree.flatten(primals)
        slopes = tree.flatten_up_to(tangents)
        moving = [i for i, slope in enumerate(slopes) if not isinstance(slope, SymbolicZero)]
        moved, slopes = [flat[i] for i in moving], [slopes[i] for i in moving]

        def restore(moved):
            arguments = list(flat)
            for i, leaf in zip(moving, moved, strict=True):
                arguments[i] = leaf
            return jax.tree.unflatten(tree, arguments)

        if any(i >= len(jax.tree.leaves(primals[0])) for i in moving):
            recomputed = lambda *moved: _recomputed_sum(total, width)(*restore(moved))
            return jax.jvp(recomputed, moved, slopes)
        gradient = jax.value_and_grad(
            lambda moved, part: total(restore(moved)[0], part), has_aux=True
        )
        sums, gradients = chunk_sums(lambda part: gradient(moved, part), primals[1], width)
        change = sum(map(jnp.vdot, gradients, slopes), start=jnp.zeros_like(sums[0]))
        return sums, (change, jax.tree.map(jnp.zeros_like, sums[1]))

    evaluate.defjvp(derivative, symbolic_zeros=True)
    return evaluate
