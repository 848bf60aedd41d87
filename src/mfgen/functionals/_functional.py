"""Functionals of the population: interaction costs I(rho) and terminal costs M(rho).

    value       F(rho)
    variation   dF/drho(rho)(x), with  d/dh F((1 - h) rho + h mu) = E_mu - E_rho of it  at h = 0

The equations of a game see F only through its first variation: dI/drho stands on the right of the
HJB equation and U(T, x) = dM/drho. The variation is defined up to a constant; here it is the
integrand's derivative, for instance log rho + 1 for the entropy E_rho[log rho].

Functionals form a vector space: `KL(target) + 0.5 * Linear(f)`. Values are sums over the
population's `particles()`.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    expectation,
    with_densities,
)
from mfgen.densities._empirical import Empirical
from mfgen.densities._folded import folded
from mfgen.densities._grid import GridDensity
from mfgen.functionals._first_variation import first_variation, lattice_variation
from mfgen.math._space import AbstractDomain

_WRAP = "wrap a function f(x) as `Linear(f)` and a target density as `KL(target)`"

Number = float | int | Float[Array, ""]
Population = AbstractDensity | None


class AbstractFunctional(eqx.Module):
    """A cost F(rho) of the whole population.

    To add one, give `value(rho)`, and where it is known the first variation `variation(rho, x)`;
    else that is computed by differentiation (`mfgen.functionals._first_variation`), up to a
    constant. A coupling f(x, rho) that is no first variation of anything is a `variation` without a
    `value`: its games have an equilibrium and no cost that all particles together make least. A
    functional that is linear in rho ignores `rho` in the variation; then the games it appears in
    need no density.

    Raises:
        TypeError: when made, if it gives neither; or a target that is no density.
    """

    def __check_init__(self):
        given = type(self)
        if (
            given.value is AbstractFunctional.value
            and given.variation is AbstractFunctional.variation
        ):
            raise TypeError(
                f"`{given.__name__}` gives neither `value(rho)` nor `variation(rho, x)`, expected "
                "at least one: define the cost, or the coupling f(x, rho) as its variation."
            )
        # The target of a divergence is a density; that of another cost may be a place.
        hint = given.__annotations__.get("target")
        if hint in (AbstractDensity, AbstractEvaluable):
            fix = "wrap data as `Empirical(points)`"
            _check.of_kind(given.__name__, "target", vars(self)["target"], AbstractDensity, fix)

    def value(self, rho: Population) -> Scalar:
        """F(rho), a scalar.

        Raises:
            TypeError: where there is none, the coupling being no first variation.
        """
        raise TypeError(
            f"`{type(self).__name__}` has no value: it gives `variation(rho, x)` alone, a coupling "
            'of which only the equilibrium is known: train by GameCost(crowd="frozen"), or give '
            "`value(rho)`."
        )

    def variation(self, rho: Population, x: State) -> Scalar:
        """The first variation dF/drho(rho)(x), a scalar; x has shape `[dim]`."""
        return first_variation(self, rho, x)

    @property
    def goal(self) -> AbstractDensity | None:
        """The density that F compares the population with: its `target`, if that is a law."""
        target = getattr(self, "target", None)
        return target if isinstance(target, AbstractDensity) else None

    @property
    def vanishes(self) -> bool:
        """Whether F is zero for every population, so that nothing need pay for it."""
        return False

    @property
    def constrains(self) -> bool:
        """Whether F is a constraint, zero or infinite, rather than a cost."""
        return bool(self.separated()[1])

    def separated(self) -> "tuple[AbstractFunctional, tuple[AbstractDensity, ...]]":
        """The finite part of F, and the densities that it prescribes."""
        return self, ()

    def on(self, domain: AbstractDomain) -> "AbstractFunctional":
        """The same cost of populations on a domain: its own laws are folded onto it.

        Override it where distances are taken, which go by the shortest way round a circle.

        Raises:
            TypeError: for a cost that has no meaning on circles.
        """
        return with_densities(self, lambda law: folded(law, domain))

    def on_lattice(self, rho: GridDensity) -> Float[Array, "*points"]:
        """The first variation at the centres of all cells of rho's lattice, `[*points]`.

        Override it where all of them together are cheaper than one by one.
        """
        if type(self).variation is AbstractFunctional.variation:
            return lattice_variation(self, rho)
        nodes = jnp.asarray(rho.lattice.nodes(), rho.mass.dtype)
        found = jax.vmap(lambda x: self.variation(rho, x))(nodes.reshape(-1, rho.dim))
        return found.reshape(rho.lattice.points)

    def lack(self, u: Float[Array, "*points"], rho: GridDensity) -> Float[Array, "*points"]:
        """The mismatch dF/drho - u on rho's lattice, for U(T, .) = u and F the terminal cost."""
        return self.on_lattice(rho) - u

    def __add__(self, other: "AbstractFunctional") -> "AbstractFunctional":
        return Sum((self, other))

    def __mul__(self, scale: Number) -> "AbstractFunctional":
        return Scaled(scale, self)

    def __rmul__(self, scale: Number) -> "AbstractFunctional":
        return Scaled(scale, self)


class Zero(AbstractFunctional):
    """F = 0: no interaction."""

    @property
    def vanishes(self) -> bool:
        return True

    def value(self, rho: Population) -> Scalar:
        return jnp.asarray(0.0)

    def variation(self, rho: Population, x: State) -> Scalar:
        return jnp.zeros((), x.dtype)


class Sum(AbstractFunctional):
    """The sum of functionals.

    Arguments:
        terms: the functionals to add.
    """

    terms: tuple[AbstractFunctional, ...]

    def __check_init__(self):
        for term in self.terms:
            _check.of_kind("Sum", "a term", term, AbstractFunctional, _WRAP)

    @property
    def vanishes(self) -> bool:
        return all(term.vanishes for term in self.terms)

    def separated(self) -> tuple[AbstractFunctional, tuple[AbstractDensity, ...]]:
        parts = [term.separated() for term in self.terms]
        costs = tuple(cost for cost, _ in parts if not cost.vanishes)
        return Sum(costs) if costs else Zero(), sum((goals for _, goals in parts), ())

    def value(self, rho: Population) -> Scalar:
        return jnp.asarray(sum(term.value(rho) for term in self.terms))

    def variation(self, rho: Population, x: State) -> Scalar:
        return jnp.asarray(sum(term.variation(rho, x) for term in self.terms))

    def on(self, domain: AbstractDomain) -> "AbstractFunctional":
        return Sum(tuple(term.on(domain) for term in self.terms))

    def on_lattice(self, rho: GridDensity) -> Float[Array, "*points"]:
        return jnp.asarray(sum(term.on_lattice(rho) for term in self.terms))


class Scaled(AbstractFunctional):
    """A functional times a number.

    Arguments:
        scale: the number.
        functional: what it multiplies.
    """

    scale: Number
    functional: AbstractFunctional

    def __check_init__(self):
        _check.of_kind("Scaled", "functional", self.functional, AbstractFunctional, _WRAP)
        if isinstance(self.scale, str) or self.scale is None or jnp.ndim(self.scale):
            raise TypeError(
                f"`Scaled` got scale = {self.scale!r}, expected a number: write 0.5 * cost."
            )

    @property
    def goal(self) -> AbstractDensity | None:
        return self.functional.goal

    @property
    def vanishes(self) -> bool:
        return self.functional.vanishes or (
            not isinstance(self.scale, Tracer) and float(self.scale) == 0.0
        )

    def separated(self) -> tuple[AbstractFunctional, tuple[AbstractDensity, ...]]:
        cost, goals = self.functional.separated()
        return (Zero() if cost.vanishes else Scaled(self.scale, cost)), goals

    def value(self, rho: Population) -> Scalar:
        return self.scale * self.functional.value(rho)

    def variation(self, rho: Population, x: State) -> Scalar:
        return self.scale * self.functional.variation(rho, x)

    def on(self, domain: AbstractDomain) -> "AbstractFunctional":
        return Scaled(self.scale, self.functional.on(domain))

    def on_lattice(self, rho: GridDensity) -> Float[Array, "*points"]:
        return self.scale * self.functional.on_lattice(rho)


class Linear(AbstractFunctional):
    """F = E_rho[f], with first variation f.

    Arguments:
        function: f, takes x of shape `[dim]`, returns a scalar.

    Example:

        MFG(Integrator(0.5), Kinetic(), Linear(lambda x: 0.5 * x @ x), initial=start)
    """

    function: Callable[[State], Scalar]

    def __check_init__(self):
        takes = "a point x of shape [dim], such as lambda x: 0.5 * x @ x"
        _check.a_function("Linear", "function", self.function, takes)

    def value(self, rho: Population) -> Scalar:
        return expectation(given("Linear", rho), self.function)

    def variation(self, rho: Population, x: State) -> Scalar:
        return self.function(x)


class CrossEntropy(AbstractFunctional):
    """F = -E_rho[log pi], with first variation -log pi: the terminal cost of score-based models.

    Arguments:
        target: pi. A target known by samples only may be declared; using its log-density raises.

    Example:

        MFG(Integrator(0.5), Kinetic(), CrossEntropy(target), initial=start)
    """

    target: AbstractDensity

    def value(self, rho: Population) -> Scalar:
        target = evaluable("CrossEntropy", "target", self.target)
        return -expectation(given("CrossEntropy", rho), target.log_density)

    def variation(self, rho: Population, x: State) -> Scalar:
        return -evaluable("CrossEntropy", "target", self.target).log_density(x)


class Entropy(AbstractFunctional):
    """F = E_rho[log rho], the negative Boltzmann entropy, with first variation log rho + 1."""

    def value(self, rho: Population) -> Scalar:
        rho = evaluable("Entropy", "population", rho)
        return expectation(rho, rho.log_density)

    def variation(self, rho: Population, x: State) -> Scalar:
        return evaluable("Entropy", "population", rho).log_density(x) + 1


class KL(AbstractFunctional):
    """F = E_rho[log rho - log pi], with first variation log rho - log pi + 1.

    Arguments:
        target: pi, which must have a log-density to be used.

    Example:

        flow = MFG(Integrator(), Kinetic(), 30 * KL(target), initial=Empirical(points))
    """

    target: AbstractDensity

    def value(self, rho: Population) -> Scalar:
        rho, target = self._densities(rho)
        return expectation(rho, lambda x: rho.log_density(x) - target.log_density(x))

    def variation(self, rho: Population, x: State) -> Scalar:
        rho, target = self._densities(rho)
        return rho.log_density(x) - target.log_density(x) + 1

    def _densities(self, rho: Population) -> tuple[AbstractEvaluable, AbstractEvaluable]:
        return evaluable("KL", "population", rho), evaluable("KL", "target", self.target)


def no_circles(owner: str, domain: AbstractDomain, why: str) -> None:
    """Raises a `TypeError` in the name of `owner` on a domain with circles."""
    if any(domain.periodic):
        raise TypeError(f"`{owner}` got a game on {domain}, expected one without circles: {why}.")


def refusal(cost: AbstractFunctional, rho: Population, x: State) -> str | None:
    """Why a first variation refuses a population, or asks it for what it has not; else `None`."""
    try:
        jax.eval_shape(lambda x: cost.variation(rho, x), x)
    except (TypeError, AttributeError) as error:
        return str(error)
    return None


def needs_population(cost: AbstractFunctional, x: State) -> bool:
    """Whether the first variation of a cost depends on the density; x is any point, `[dim]`."""
    return refusal(cost, None, x) is not None


def needs_log_density(cost: AbstractFunctional, dim: int) -> bool:
    """Whether the first variation of a cost refuses a population known by its particles alone."""
    points = jnp.zeros((2, dim))
    return refusal(cost, Empirical(points), points[0]) is not None


def given(owner: str, rho: Population) -> AbstractDensity:
    """The density; raises a `TypeError` in the name of `owner` if there is none."""
    if rho is None:
        raise TypeError(f"`{owner}` got no population, expected a density: pass `rho`.")
    return rho


def evaluable(owner: str, role: str, density: Population) -> AbstractEvaluable:
    """The density; raises a `TypeError` in the name of `owner` if it has no log-density."""
    density = given(owner, density)
    if not isinstance(density, AbstractEvaluable):
        raise TypeError(
            f"`{owner}` got a {role} `{type(density).__name__}` without a log-density: pass a "
            "density such as `GaussianMixture`, or for samples their kernel estimate "
            "`Empirical(points).noised(1.0, bandwidth)` or what a score model learns of them, "
            "`mfgen.metrics.potential_density`."
        )
    return density
