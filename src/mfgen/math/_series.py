"""Second-order series of an array along chosen directions, and how they pass through a function.

y(e) = y + e_0 y_t + sum_k e_k J_k + (1/2) sum_k e_k^2 y_kk + ... is kept as four arrays: the value
y, the derivative y_t along time, the derivatives J_k along the K space directions, and the sum of
second derivatives L = sum_k y_kk. No second derivative along time is formed. For z = f(y),

    z_t = Df(y)[y_t],    Jz_k = Df(y)[J_k],    Lz = Df(y)[L] + sum_k D^2 f(y)[J_k, J_k].

The sum over k may carry a weight, a number or a symmetric matrix D, with sum_kl D_kl y_kl for L;
with the time derivative put into L, L is then the heat operator dt + tr(D Hess). The four rules
below evaluate this for functions whose second derivative vanishes (`linear`), acts entry by entry
(`elementwise`), is a product (`bilinear`), or has no structure (`general`). A part that vanishes
identically is None and costs nothing.

References: R. Li et al., A computational framework for neural network-based variational Monte
Carlo with Forward Laplacian (2023), arXiv 2307.08214; A. Griewank, A. Walther, Evaluating
Derivatives (2008), chapter 13.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Part = Any  # an array, or None for a part that vanishes
Function = Callable[..., list[Any]]


class Series(NamedTuple):
    """Value of an array of shape `[*shape]` and its derivatives; None is a part that vanishes.

    Attributes:
        value: `[*shape]`.
        time: the derivative along time, `[*shape]`.
        space: the derivatives along the K space directions, `[K, *shape]`.
        second: the sum over the space directions of the second derivatives, `[*shape]`.
    """

    value: Any
    time: Part = None
    space: Part = None
    second: Part = None

    @property
    def constant(self) -> bool:
        """Whether every derivative vanishes."""
        return self.time is None and self.space is None and self.second is None


def _add(*parts: Part) -> Part:
    present = [part for part in parts if part is not None]
    return sum(present[1:], start=present[0]) if present else None


def _weigh(part: Any, weight: Any) -> Any:
    """A sum over the directions times a weight that is a number."""
    if weight is None or jnp.ndim(weight) == 2:
        return part
    return jnp.asarray(weight, part.dtype) * part


def _turn(space: Part, weight: Any) -> Part:
    """The directions that are paired with those of `space`: sum_l D_kl J_l for a matrix D."""
    if space is None or weight is None or jnp.ndim(weight) == 0:
        return space
    return jnp.tensordot(jnp.asarray(weight, space.dtype), space, 1)


def _exists(parts: Sequence[Part]) -> bool:
    return any(part is not None for part in parts)


def _columns(f: Callable, *groups: Sequence[Part]):
    """Maps f, of groups of parts, over the leading axis of the parts that exist."""
    axes = tuple(None if part is None else 0 for part in groups[0])
    return jax.vmap(f, in_axes=(axes,) * len(groups))(*map(tuple, groups))


def _inexact(f: Function) -> Function:
    """Keeps the outputs that can carry a derivative."""
    return lambda *values: [y for y in f(*values) if jnp.issubdtype(y.dtype, jnp.inexact)]


def _push(f: Callable, values: Sequence[Any], parts: Sequence[Part]):
    """f(values) and Df(values)[parts], differentiated only in arguments whose part exists."""
    moving = [i for i, part in enumerate(parts) if part is not None]

    def restricted(*moved):
        arguments = list(values)
        for i, argument in zip(moving, moved, strict=True):
            arguments[i] = argument
        return f(*arguments)

    return jax.jvp(restricted, [values[i] for i in moving], [parts[i] for i in moving])


def _assemble(values: Sequence[Any], *parts: Sequence[Part] | None) -> list[Series]:
    """Joins outputs with their parts, which only inexact outputs have."""
    absent = [None] * len(values)
    rows = zip(*(absent if part is None else part for part in parts), strict=False)
    return [
        Series(value, *next(rows)) if jnp.issubdtype(value.dtype, jnp.inexact) else Series(value)
        for value in values
    ]


def linear(f: Function, series: Sequence[Series], weight: Any = None) -> list[Series]:
    """Passes series through a function without second derivative: every part by Df(y)."""
    values, time, space, second = zip(*series, strict=True)
    push = lambda parts: _push(_inexact(f), values, parts)[1]
    return _assemble(
        f(*values),
        push(time) if _exists(time) else None,
        _columns(push, space) if _exists(space) else None,
        push(second) if _exists(second) else None,
    )


def general(f: Function, series: Sequence[Series], weight: Any = None) -> list[Series]:
    """Passes series through any function by nested forward mode, one direction at a time."""
    values, time, space, second = zip(*series, strict=True)
    push = lambda parts: _push(_inexact(f), values, parts)[1]

    def twice(parts, others):
        first = lambda *arguments: _push(_inexact(f), arguments, parts)[1]
        return _push(first, values, others)

    curved = push(second) if _exists(second) else None
    columns = None
    if _exists(space):
        columns, bends = _columns(twice, space, tuple(_turn(part, weight) for part in space))
        bends = [_weigh(jnp.sum(bend, axis=0), weight) for bend in bends]
        curved = bends if curved is None else list(map(_add, bends, curved))
    return _assemble(f(*values), push(time) if _exists(time) else None, columns, curved)


def elementwise(f: Function, series: Sequence[Series], weight: Any = None) -> list[Series]:
    """Passes series through a scalar function applied entry by entry: slopes f_i, bends f_ij."""
    (value,) = f(*(y.value for y in series))
    series = [y if y.constant else _spread(y, value.shape) for y in series]
    values = [y.value for y in series]
    moving = [i for i, y in enumerate(series) if not y.constant]

    def partial(g, i):
        unit = [jnp.ones_like(y) if j == i else None for j, y in enumerate(values)]
        return lambda *arguments: _push(g, arguments, unit)[1]

    single = lambda *arguments: f(*arguments)[0]
    slopes = {i: partial(single, i)(*values) for i in moving}
    scaled = lambda part, slope: None if part is None else slope * part
    rows = lambda part, slope: None if part is None else slope[None] * part
    bends = []
    for n, i in enumerate(moving):
        for j in moving[: n + 1]:
            left, right = series[i].space, series[j].space
            if left is not None and right is not None:
                bend = partial(partial(single, i), j)(*values)
                square = jnp.sum(left * _turn(right, weight), axis=0)
                bends.append(_weigh((1 if i == j else 2) * bend * square, weight))
    return [
        Series(
            value,
            _add(*(scaled(series[i].time, slopes[i]) for i in moving)),
            _add(*(rows(series[i].space, slopes[i]) for i in moving)),
            _add(*bends, *(scaled(series[i].second, slopes[i]) for i in moving)),
        )
    ]


def _spread(y: Series, shape: tuple[int, ...]) -> Series:
    """Repeats a scalar series over a shape, as a primitive does with a scalar operand."""
    if jnp.shape(y.value) == shape:
        return y
    spread = lambda part: None if part is None else jnp.broadcast_to(part, shape)
    space = None if y.space is None else jax.vmap(spread)(y.space)
    return Series(spread(y.value), spread(y.time), space, spread(y.second))


def bilinear(
    f: Function, series: Sequence[Series], weight: Any = None, paired: Callable | None = None
) -> list[Series]:
    """Passes two series through a product f(a, b); `paired(J, K)` is the sum of all f(J_k, K_k)."""
    single = lambda a, b: None if a is None or b is None else f(a, b)[0]
    left = lambda a, b: None if a is None else jax.vmap(single, (0, None))(a, b)
    right = lambda a, b: None if b is None else jax.vmap(single, (None, 0))(a, b)
    paired = paired or (lambda a, b: jnp.sum(jax.vmap(f)(a, b)[0], axis=0))
    (a, at, aj, al), (b, bt, bj, bl) = series
    both = aj is not None and bj is not None
    cross = _weigh(2 * paired(aj, _turn(bj, weight)), weight) if both else None
    return [
        Series(
            single(a, b),
            _add(single(at, b), single(a, bt)),
            _add(left(aj, b), right(a, bj)),
            _add(single(al, b), single(a, bl), cross),
        )
    ]
