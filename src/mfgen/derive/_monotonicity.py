"""Are the costs of the population monotone, displacement convex, and first variations at all?

    monotone      int (F'(rho) - F'(mu)) d(rho - mu) >= 0            unique equilibrium
    displacement  s -> F(rho_s) convex along optimal transport       unique minimiser, descent works
    potential     the derivative of F' is symmetric, and F' is that of F:  an equilibrium minimises

with F' = dF/drho. They are tried at pairs of normal laws around the game's own densities: integrals
by quadrature up to three dimensions and over a sample beyond; optimal transport of normal laws with
the same axes is linear, so that particles move along straight lines exactly.

References: J.-M. Lasry, P.-L. Lions, "Mean field games" (2007), Jpn. J. Math. 2; R. McCann, "A
convexity principle for interacting gases" (1997), Adv. Math. 128.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Weights,
)
from mfgen.densities._gaussian import Gaussian, GaussianMixture
from mfgen.derive._verdict import Item, reason, verdict
from mfgen.functionals._functional import AbstractFunctional, Zero

_MONOTONE, _DISPLACEMENT = "{} is monotone", "{} is displacement convex"
POTENTIAL = "the game is potential"
_PAIRS = 8
_SAMPLE = 512
_STAGES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SMALL = 1e-4
_SAID = {
    "symmetry": "a push at one place is felt at another by {:.4g}, the other way by {:.4g}",
    "value": "its value changes by {:.4g} where its first variation says {:.4g}",
}
_LASRY, _MCCANN = "Lasry & Lions 2007", "McCann 1997"
_CROWD = "a cost of crowds, `0.5 * Entropy()`, added to it; or solve for one equilibrium of several"
_HULL = (
    "convexify it: add `Entropy()` or noise, take a log-concave target, or expect a result that "
    "depends on the start"
)


class ParticleLaw(AbstractEvaluable):
    """A law with a log-density, integrated over given particles."""

    law: AbstractEvaluable
    points: Batch
    weights: Weights

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def log_density(self, x: State) -> Scalar:
        return self.law.log_density(x)

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.law.sample(n, key=key)

    def particles(self) -> tuple[Batch, Weights]:
        return self.points, self.weights


class Pairs(eqx.Module):
    """Means and deviations `[pairs, dim]` of two normal laws for each pair, and standard nodes.

    `units` are the deviations of the laws of the game that they are drawn around.
    """

    means: Float[Array, "two pairs dim"]
    scales: Float[Array, "two pairs dim"]
    units: Float[Array, "two pairs dim"]
    nodes: Batch
    weights: Weights

    @property
    def is_sampled(self) -> bool:
        return self.nodes.shape[1] > 3


def pairs(around: AbstractDensity | Sequence[AbstractDensity] | None, dim: int, key: Key) -> Pairs:
    """Pairs of normal laws around the laws of a game, or around the standard normal law.

    Of several laws, both of a pair are around one of them or each around another.
    """
    laws = [around] if isinstance(around, AbstractDensity) else list(around or ())
    moments = [_moments(law) for law in laws] or [(jnp.zeros(dim), jnp.ones(dim))]
    standard = Gaussian(jnp.zeros(dim, float))
    if dim > 3:
        nodes = standard.sample(_SAMPLE, key=key)
        weights = jnp.full(_SAMPLE, 1 / _SAMPLE)
    else:
        nodes, weights = standard.particles()
    mean_key, scale_key = jax.random.split(key)
    shape, index = (2, _PAIRS, dim), np.arange(_PAIRS)
    turn = np.stack([index, index + index // len(moments)]) % len(moments)
    centres, units = (jnp.stack(part)[turn] for part in zip(*moments, strict=True))
    means = centres + units * jax.random.normal(mean_key, shape, float)
    # Narrow ones too, which feel a cost where it is not convex in a small region only.
    scales = units * 10 ** jax.random.uniform(scale_key, shape, float, -1.3, 0.1)
    return Pairs(means, scales, units, nodes, weights)


def _moments(law: AbstractDensity) -> tuple[State, State]:
    mean, covariance = law.moments()
    most = jnp.trace(covariance)
    scale = jnp.sqrt(jnp.maximum(jnp.diag(covariance), 1e-6 * most))
    return jnp.asarray(mean, float), jnp.asarray(jnp.where(most > 0, scale, 1.0), float)


def monotone(name: str, functional: AbstractFunctional, at: Pairs) -> Item:
    """The Lasry-Lions condition at pairs of normal laws."""
    title = _MONOTONE.format(name)
    if isinstance(functional, Zero):
        return verdict(title, True, f"{name} = 0", _LASRY)

    def pairing(mean, scale, unit):
        first, second = (_cloud(mean[i], scale[i], at) for i in (0, 1))
        change = lambda x: functional.variation(first, x) - functional.variation(second, x)
        there, here = jax.vmap(change)(first.points), jax.vmap(change)(second.points)
        size = at.weights @ (jnp.abs(there) + jnp.abs(here))
        centred = there - here - at.weights @ (there - here)
        error = jnp.sqrt(at.weights @ centred**2 / _SAMPLE) if at.is_sampled else 0.0 * size
        return jnp.stack([at.weights @ (there - here), size, error])

    computed = _over_pairs(functional, pairing, at)
    if isinstance(computed, str):
        return verdict(title, None, computed, _LASRY)
    value, size, error = computed.T
    below = value < -1e-7 * size - 3 * error
    worst = int(np.argmin(value))
    if below.any():
        evidence = (
            f"the integral is {value[worst]:.4g} for one pair of normal laws, negative for "
            f"{below.sum()} of {_PAIRS}"
        )
        return verdict(title, False, evidence, _LASRY, _CROWD)
    evidence = f"the integral is at least {value[worst]:.3g} for {_PAIRS} pairs of normal laws"
    if np.all(np.abs(value) <= 1e-9 * (1 + size)):
        evidence = f"the integral is zero for {_PAIRS} pairs: linear in rho, or nearly"
    return verdict(title, True, evidence, _LASRY)


def displacement(name: str, functional: AbstractFunctional, at: Pairs) -> Item:
    """McCann's condition along the optimal transport of pairs of normal laws."""
    title = _DISPLACEMENT.format(name)
    if isinstance(functional, Zero):
        return verdict(title, True, f"{name} = 0", _MCCANN)

    def bend(mean, scale, unit):
        between = lambda s, both: (1 - s) * both[0] + s * both[1]
        values = [
            functional.value(_cloud(between(s, mean), between(s, scale), at)) for s in _STAGES
        ]
        values = jnp.stack(values)
        bends = values[2:] - 2 * values[1:-1] + values[:-2]
        # Relative to how much F changes on the way, not to how large it is.
        change = jnp.max(values) - jnp.min(values)
        return jnp.stack([jnp.min(bends), change + 1e-6 * jnp.max(jnp.abs(values))])

    computed = _over_pairs(functional, bend, at)
    if isinstance(computed, str):
        return verdict(title, None, computed, _MCCANN)
    value, size = computed.T
    worst = int(np.argmin(value))
    if np.any(value < -1e-7 * size):
        evidence = (
            f"half way between two stages {name} is {-0.5 * value[worst]:.4g} above the mean of "
            f"its neighbours, in {(value < -1e-7 * size).sum()} of {_PAIRS} transports"
        )
        return verdict(title, False, evidence, _MCCANN, _HULL)
    evidence = f"second differences are at least {value[worst]:.3g} along {_PAIRS} transports"
    return verdict(title, True, evidence, _MCCANN)


def potential(costs: dict[str, AbstractFunctional], at: Pairs) -> Item:
    """Whether the derivatives of I' and M' are symmetric, and I' and M' those of I and M."""
    worst, evidence = 0.0, "I = M = 0"
    for name, functional in costs.items():
        if isinstance(functional, Zero):
            continue
        pushes = lambda m, s, u, f=functional: _exchange(f, m, s, u, at)
        computed = _over_pairs(functional, pushes, at)
        if isinstance(computed, str):
            return verdict(POTENTIAL, None, f"{name}: {computed}", _LASRY)
        for kind, (left, right, size) in zip(
            ("symmetry", "value"), np.moveaxis(computed, 0, 2), strict=True
        ):
            error = np.abs(left - right) / np.maximum(size, 1e-300)
            index = int(np.argmax(error))
            if error[index] >= worst:
                worst = float(error[index])
                said = _SAID[kind]
                evidence = (
                    f"{name}: {said.format(left[index], right[index])} at worst, of {_PAIRS} pairs"
                )
    if worst > (0.15 if at.is_sampled else 0.03):
        repair = "expect an equilibrium, which minimises nothing: no primal cost, use a fixed point"
        holds = None if at.is_sampled else False
        return verdict(POTENTIAL, holds, evidence, _LASRY, repair)
    return verdict(POTENTIAL, True, evidence, _LASRY)


def _exchange(functional: AbstractFunctional, mean, scale, unit, at: Pairs) -> Float[Array, "2 3"]:
    """(left, right, size) of the symmetry of the second and of the value of the first derivative.

    The laws pushed to are narrower than the one they are pushed from, so that their ratio is
    bounded and quadrature accurate.
    """
    base = _cloud(mean[0], scale[0], at)
    shift = 0.4 * scale[0] * jnp.tanh((mean[1] - mean[0]) / unit[0])
    first, second = (
        _cloud(mean[0] + shift, 0.7 * scale[0], at),
        _cloud(mean[0] - 0.5 * shift[::-1], 0.8 * scale[0], at),
    )

    def pushed(to: ParticleLaw, h: float) -> ParticleLaw:
        stacked = [jnp.stack(both) for both in zip(_normal(base), _normal(to), strict=True)]
        law = GaussianMixture(jnp.array([1 - h, h]), *stacked)
        points = jnp.concatenate([base.points, to.points])
        weights = jnp.concatenate([(1 - h) * at.weights, h * at.weights])
        return ParticleLaw(law, points, weights)

    def felt(at_law: ParticleLaw, rho: ParticleLaw) -> Scalar:
        variation = jax.vmap(lambda x: functional.variation(rho, x))
        return at.weights @ (variation(at_law.points) - variation(base.points))

    def slope(f, to: ParticleLaw) -> Scalar:
        ends = [f(pushed(to, k * _SMALL)) for k in (0, 1, 2)]
        return (-3 * ends[0] + 4 * ends[1] - ends[2]) / (2 * _SMALL)

    left, right = slope(lambda r: felt(second, r), first), slope(lambda r: felt(first, r), second)
    own = [slope(lambda r, to=to: felt(to, r), to) for to in (first, second)]
    changed, said = slope(functional.value, first), felt(first, base)
    # What a constant in F or in its variation leaves by rounding in a difference over _SMALL.
    constant = jnp.abs(functional.value(base))
    constant += at.weights @ jnp.abs(jax.vmap(lambda x: functional.variation(base, x))(base.points))
    floor = 1e-3 * (jnp.abs(changed) + jnp.abs(said)) + 1e-8 * constant
    size = jnp.abs(left) + jnp.abs(right) + jnp.abs(own[0]) + jnp.abs(own[1]) + floor
    return jnp.array(
        [[left, right, size], [changed, said, jnp.abs(changed) + jnp.abs(said) + 0.1 * size]]
    )


def _over_pairs(functional: AbstractFunctional, compute, at: Pairs) -> np.ndarray | str:
    """The figures of all pairs, or why there are none."""
    first = _cloud(at.means[0, 0], at.scales[0, 0], at)
    mapped = eqx.filter_jit(jax.vmap(compute, in_axes=(1, 1, 1)))
    try:
        traced = jax.make_jaxpr(lambda x: functional.variation(first, x))(at.means[0, 0])
        if _iterates(traced.jaxpr):
            return "it is computed by iterations, whose error a sign might be due to"
        computed = np.asarray(mapped(at.means, at.scales, at.units))
    except Exception as error:  # a functional may refuse the densities it is given
        return f"it could not be computed: {reason(error)}"
    if not np.isfinite(computed).all():
        return "it is not finite for some of the normal laws tried"
    return computed


def _iterates(program: jex.Jaxpr) -> bool:
    """Whether a program holds a loop whose length is not known beforehand."""
    inner = lambda line: [getattr(leaf, "jaxpr", leaf) for leaf in jax.tree.leaves(line.params)]
    return any(
        line.primitive.name == "while"
        or any(_iterates(part) for part in inner(line) if isinstance(part, jex.Jaxpr))
        for line in program.eqns
    )


def _cloud(mean: State, scale: State, at: Pairs) -> ParticleLaw:
    points = mean[None, :] + scale[None, :] * at.nodes
    return ParticleLaw(Gaussian(mean, scale**2), points, at.weights)


def _normal(cloud: ParticleLaw) -> tuple[State, State]:
    law: Gaussian = cloud.law  # pyright: ignore[reportAssignmentType]
    return law.mean, law.covariance.variances
