"""Functionals in symbols: F(rho), and its first variation dF/drho(rho)(x).

A first variation that sees laws at the point alone is a formula in log rho(x) and log pi(x), read
from the functional's own code. Of any other functional it is a name: dM/drho(x) where F is all of
M, and dMMD/drho(x), the name of its class, where it is a term or a multiple of it. Two things never
share a name: the second one is numbered.
"""

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import sympy as sp

from mfgen.densities._base import AbstractDensity, densities, with_densities
from mfgen.derive._symbols.number import Expression, number
from mfgen.derive._symbols.tracing import formula
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._fdivergence import AlphaDivergence, ForwardKL
from mfgen.functionals._functional import (
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
from mfgen.functionals._local import LocalLaw

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


# F as the field writes it, by its rho(x) and pi(x); others are the name of their class.
_VALUES: dict[type, Callable[..., Expression]] = {
    AlphaDivergence: lambda own, rho, pi: _named("AlphaDivergence", RHO, pi, number(own.order)),
    CrossEntropy: lambda own, rho, pi: _mean(-sp.log(pi)),
    CrowdAversion: lambda own, rho: _mean(rho ** (number(own.exponent) - 1)) / number(own.exponent),
    Entropy: lambda own, rho: _mean(sp.log(rho)),
    ForwardKL: lambda own, rho, pi: _named("KL", pi, RHO),
    PorousMedium: lambda own, rho: (
        _mean(rho ** (number(own.exponent) - 1)) / (number(own.exponent) - 1)
    ),
}


@singledispatch
def read(functional: AbstractFunctional, place: Place) -> Reading:
    """The reading of a functional; a new class may register its own."""
    laws, name = densities(functional), type(functional).__name__
    logs = sp.symbols(f"log:{len(laws) + 1}", real=True)

    def local_variation(x, log_rho, *log_laws):
        left = iter(log_laws)
        local = with_densities(functional, lambda _: LocalLaw(x, next(left)))
        return local.variation(LocalLaw(x, log_rho), x)

    found = formula(place.name, local_variation, place.x, *logs)
    if found.note is None:
        pis = [sp.Function(place.target(law), positive=True)(*place.x) for law in laws]
        at = dict(zip(logs, map(sp.log, [place.rho, *pis]), strict=True))
        own = place.named(name, functional) if not laws else name
        write = _VALUES.get(type(functional), lambda *_: _named(own, RHO, *pis))
        depends = logs[0] in found.scalar.free_symbols
        return Reading(write(functional, place.rho, *pis), found.scalar.subs(at), depends)
    name = place.named(name, functional)
    found = formula(place.name, lambda x: functional.variation(None, x), place.x)
    if found.note is None:
        return Reading(_named(name, RHO), found.scalar)
    whole = name if place.is_part else place.name
    variation = sp.Function(f"d{whole}/drho", real=True)(*place.x)
    note = f"d{whole}/drho is the first variation of `{name}`."
    return Reading(
        _named(name, RHO), variation, _sees_population(functional, len(place.x)), (note,)
    )


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
def _(functional: Prescribed, place: Place) -> Reading:
    name = place.target(functional.target)
    note = (
        f"rho(T) = {name} is prescribed: U(T, x) is a multiplier, known with the solution only, "
        "up to a constant."
    )
    return Reading(sp.Integer(0), MULTIPLIER(*place.x), True, (note,))


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


def _named(name: str, *laws: Expression) -> Expression:
    """A functional of laws, which stand there by their names."""
    shown = [sp.Symbol(law.func.__name__) if law.is_Function else law for law in laws]
    return sp.Function(name)(*shown)


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
