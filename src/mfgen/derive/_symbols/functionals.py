"""Functionals in symbols: F(rho), and its first variation dF/drho(rho)(x).

A functional of a known class is written out; of any other class, the first variation is tried
without a population, which works if F is linear in rho, and is else a name: dM/drho(x) where F is
all of M, and dMMD/drho(x), the name of its class, where it is a term or a multiple of it. Two
things never share a name: the second one is numbered.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import sympy as sp

from mfgen.densities._base import AbstractDensity
from mfgen.derive._symbols.number import Expression, number
from mfgen.derive._symbols.tracing import formula
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._fdivergence import AlphaDivergence, ChiSquared, ForwardKL
from mfgen.functionals._functional import (
    KL,
    AbstractFunctional,
    CrossEntropy,
    Entropy,
    Linear,
    Scaled,
    Sum,
    Zero,
    needs_population,
)
from mfgen.functionals._interaction import CrowdAversion
from mfgen.functionals._kernel_energy import PorousMedium
from mfgen.functionals._lipschitz import AbstractDual

RHO = sp.Symbol("rho")
MULTIPLIER = sp.Function("multiplier", real=True)


class Place(NamedTuple):
    """Where a functional is read.

    Attributes:
        name: `I` or `M`.
        x, rho: the point, and the density there.
        met: (name, object) of what has been given a name so far: targets, functions, functionals.
        is_part: whether the functional is a term or a multiple in I or M, not all of it.
    """

    name: str
    x: tuple[sp.Symbol, ...]
    rho: Expression
    met: list[tuple[str, Any]]
    is_part: bool = False

    def named(self, name: str, thing: object) -> str:
        """The name for the first of such things, then name_2, name_3, ..."""
        alike = [known for called, known in self.met if called == name]
        index = next((i for i, known in enumerate(alike) if known is thing), len(alike))
        if index == len(alike):
            self.met.append((name, thing))
        return f"{name}_{index + 1}" if index else name

    def target(self, density: AbstractDensity) -> str:
        """pi for the first target that is met, then pi_2, pi_3, ..."""
        return self.named("pi", density)


class Reading(NamedTuple):
    """A functional in symbols.

    Attributes:
        value: F(rho); expectations over rho are written E.
        variation: dF/drho(rho)(x).
        depends: whether the variation depends on rho.
        notes: what could not be written out.
    """

    value: Expression
    variation: Expression
    depends: bool = False
    notes: tuple[str, ...] = ()


@singledispatch
def read(functional: AbstractFunctional, place: Place) -> Reading:
    """The reading of a functional; a new class may register its own."""
    found = formula(place.name, lambda x: functional.variation(None, x), place.x)
    name = place.named(type(functional).__name__, functional)
    value = sp.Function(name)(RHO)
    if found.note is None:
        return Reading(value, found.scalar)
    whole = name if place.is_part else place.name
    variation = sp.Function(f"d{whole}/drho", real=True)(*place.x)
    note = f"d{whole}/drho is the first variation of `{name}`."
    return Reading(value, variation, _sees_population(functional, len(place.x)), (note,))


@read.register
def _(functional: Zero, place: Place) -> Reading:
    return Reading(sp.Integer(0), sp.Integer(0))


@read.register
def _(functional: Linear, place: Place) -> Reading:
    found = formula("f", functional.function, place.x)
    if found.note is None:
        return Reading(_mean(found.scalar), found.scalar)
    name = place.named("f", functional.function)
    shown = sp.Function(name, real=True)(*place.x)
    return Reading(_mean(shown), shown, notes=(name + found.note.removeprefix("f"),))


@read.register
def _(functional: CrossEntropy, place: Place) -> Reading:
    pi = sp.Function(place.target(functional.target), positive=True)(*place.x)
    return Reading(_mean(-sp.log(pi)), -sp.log(pi))


@read.register
def _(functional: Entropy, place: Place) -> Reading:
    return Reading(_mean(sp.log(place.rho)), sp.log(place.rho) + 1, True)


@read.register
def _(functional: KL, place: Place) -> Reading:
    name = place.target(functional.target)
    pi = sp.Function(name, positive=True)(*place.x)
    value = sp.Function("KL")(RHO, sp.Symbol(name))
    return Reading(value, sp.log(place.rho) - sp.log(pi) + 1, True)


@read.register
def _(functional: Prescribed, place: Place) -> Reading:
    name = place.target(functional.target)
    note = (
        f"rho(T) = {name} is prescribed: U(T, x) is a multiplier, known with the solution only, "
        "up to a constant."
    )
    return Reading(sp.Integer(0), MULTIPLIER(*place.x), True, (note,))


@read.register
def _(functional: CrowdAversion, place: Place) -> Reading:
    power = number(functional.exponent) - 1
    return Reading(_mean(place.rho**power) / (power + 1), place.rho**power, True)


@read.register
def _(functional: PorousMedium, place: Place) -> Reading:
    m = number(functional.exponent)
    return Reading(_mean(place.rho ** (m - 1)) / (m - 1), m / (m - 1) * place.rho ** (m - 1), True)


@read.register
def _(functional: ForwardKL, place: Place) -> Reading:
    name, pi = _named(functional.target, place)
    return Reading(sp.Function("KL")(sp.Symbol(name), RHO), -pi / place.rho, True)


@read.register
def _(functional: ChiSquared, place: Place) -> Reading:
    name, pi = _named(functional.target, place)
    value = sp.Function("ChiSquared")(RHO, sp.Symbol(name))
    return Reading(value, 2 * place.rho / pi, True)


@read.register
def _(functional: AlphaDivergence, place: Place) -> Reading:
    name, pi = _named(functional.target, place)
    ratio, a = place.rho / pi, number(functional.order)
    value = sp.Function("AlphaDivergence")(RHO, sp.Symbol(name), a)
    variation = sp.log(ratio) if a == 1 else (ratio ** (a - 1) - 1) / (a - 1)
    return Reading(value, variation, True)


@read.register
def _(functional: AbstractDual, place: Place) -> Reading:
    # Not written out: a critic is a network.
    own = place.named(type(functional).__name__, functional)
    value = sp.Function(own)(RHO, sp.Symbol(place.target(functional.target)))
    name = place.named("phi", functional.critic)
    note = (
        f"{name} is the critic of the dual, the best one if it has been trained for this "
        "population."
    )
    return Reading(value, sp.Function(name, real=True)(*place.x), True, (note,))


@read.register
def _(functional: Scaled, place: Place) -> Reading:
    inner = read(functional.functional, place._replace(is_part=True))
    if has_multiplier([inner.variation]):  # a constraint is the same at any price
        return inner
    scale = number(jax.device_get(functional.scale))
    return inner._replace(
        value=scale * inner.value,
        variation=scale * inner.variation,
        depends=inner.depends and scale != 0,
    )


@read.register
def _(functional: Sum, place: Place) -> Reading:
    terms = [read(term, place._replace(is_part=True)) for term in functional.terms]
    return Reading(
        sp.Add(*[term.value for term in terms]),
        sp.Add(*[term.variation for term in terms]),
        any(term.depends for term in terms),
        tuple(note for term in terms for note in term.notes),
    )


def _named(target: AbstractDensity, place: Place) -> tuple[str, Expression]:
    name = place.target(target)
    return name, sp.Function(name, positive=True)(*place.x)


def _sees_population(functional: AbstractFunctional, dim: int) -> bool:
    try:
        return needs_population(functional, jnp.zeros(dim))
    except Exception:  # the functional is the user's
        return True


def _mean(integrand: Expression) -> Expression:
    return sp.Function("E")(integrand)


def has_multiplier(variations: Sequence[Expression]) -> bool:
    """Whether a terminal condition is a free multiplier."""
    return any(variation.has(MULTIPLIER) for variation in variations)
