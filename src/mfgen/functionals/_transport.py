"""Optimal transport to a target: the entropic W2 and the Sinkhorn divergence.

    OT(rho, pi) = min over couplings P of  E_P |X - Y|^2 / 2 + eps KL(P | rho x pi)
                = E_rho phi + E_pi psi
    phi(x)      = -eps log E_pi exp((psi(Y) - |x - Y|^2 / 2) / eps)

    Wasserstein2         OT(rho, pi), which tends to W2^2 / 2 as eps -> 0
    SinkhornDivergence   OT(rho, pi) - OT(rho, rho) / 2 - OT(pi, pi) / 2

The first variation of the first is the Kantorovich potential phi, known at every point by its
formula, and -grad phi(x) = T(x) - x, the way to the mean of the partners of x. Its minimiser is
narrower than pi, by the blur eps; the second is debiased: convex in rho, never negative, and zero
at rho = pi only. Its variation is phi of (rho, pi) minus phi of (rho, rho).

Both need particles of the two laws and no density. If eps is absent it is a thousandth of the total
variance of pi, which scales with the units and leaves OT a few per cent above W2^2 / 2 for clouds
of one size. A plan that does not arrive within its iterations is an error, never a number.
Derivatives hold the dual potential of the target fixed, which is exact at first order (the envelope
theorem), not beyond.

References: M. Cuturi, "Sinkhorn distances" (2013), arXiv 1306.0895; J. Feydy, T. Séjourné, F.-X.
Vialard, S. Amari, A. Trouvé, G. Peyré, "Interpolating between optimal transport and MMD using
Sinkhorn divergences" (2019), arXiv 1810.08278.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Batch, Scalar, State
from mfgen.densities._base import AbstractDensity, Weights
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._embedded import Embedded
from mfgen.functionals._functional import AbstractFunctional, Population, given, no_circles
from mfgen.math._count import count
from mfgen.math._sinkhorn import PAIRS, arrived, own_sinkhorn, sinkhorn
from mfgen.math._space import AbstractDomain

Particles = tuple[Batch, Weights]
Others = tuple[Float[Array, "m dim"], Float[Array, "m"]]

# Of the entropy, in the total variance of the target.
_STRENGTH = 1e-3
_FIX = (
    "pass a larger epsilon, more iterations or a larger tolerance, or compute in double precision"
)


class Wasserstein2(AbstractFunctional):
    """F = OT(rho, pi), the entropic W2^2 / 2, with the Kantorovich potential as first variation.

    Arguments:
        target: pi, which need only have particles: `Empirical(data)` will do.
        epsilon: strength of the entropy, in the units of |x|^2; a thousandth of the total variance
            of the target if absent. Iterations grow like the inverse of its root.
        tolerance: of the mass that the plan misses, in the 1-norm.
        iterations: of Sinkhorn's algorithm, at most.

    Raises:
        NotConverged: a `RuntimeError`, from `value` and `variation` for a plan that misses more
            than the tolerance after all iterations; under `jax.jit` when the program runs.
    """

    target: AbstractDensity
    epsilon: float | None = eqx.field(static=True, default=None)
    tolerance: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=2000)

    def __check_init__(self):
        _check("Wasserstein2", self.epsilon, self.tolerance, self.iterations)

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        why = "its cost is |x - y|^2 / 2; take `SinkhornDivergence`, which goes by the chords"
        no_circles("Wasserstein2", domain, why)
        return AbstractFunctional.on(self, domain)

    def value(self, rho: Population) -> Scalar:
        here, there = given("Wasserstein2", rho).particles(), self.target.particles()
        return _Plan("Wasserstein2", here, there, self).value()

    def variation(self, rho: Population, x: State) -> Scalar:
        here, there = given("Wasserstein2", rho).particles(), self.target.particles()
        return _Plan("Wasserstein2", here, there, self).potential(x)


class SinkhornDivergence(AbstractFunctional):
    """F = OT(rho, pi) - OT(rho, rho) / 2 - OT(pi, pi) / 2, zero at rho = pi only.

    Arguments:
        target: pi, which need only have particles: `Empirical(data)` will do.
        epsilon: strength of the entropy, in the units of |x|^2: small for transport, large for an
            MMD with the kernel -|z|^2 / 2, which sees the mean alone; if absent as of
            `Wasserstein2`. On circles distances are those of chords.
        tolerance, iterations: as of `Wasserstein2`, and so is what is raised.
    """

    target: AbstractDensity
    epsilon: float | None = eqx.field(static=True, default=None)
    tolerance: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=2000)

    def __check_init__(self):
        _check("SinkhornDivergence", self.epsilon, self.tolerance, self.iterations)

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        bound = AbstractFunctional.on(self, domain)
        return Embedded(bound, domain) if any(domain.periodic) else bound

    def value(self, rho: Population) -> Scalar:
        here, there = given("SinkhornDivergence", rho).particles(), self.target.particles()
        own = self._own(here).value() + self._own(there).value()
        return _Plan("SinkhornDivergence", here, there, self).value() - 0.5 * own

    def variation(self, rho: Population, x: State) -> Scalar:
        here, there = given("SinkhornDivergence", rho).particles(), self.target.particles()
        apart = _Plan("SinkhornDivergence", here, there, self).potential(x)
        return apart - self._own(here).potential(x)

    def _own(self, cloud: Particles) -> "_Plan":
        return _Plan("SinkhornDivergence", cloud, None, self)


class _Plan:
    """The optimal plan of two clouds by the dual potential of the second, or of one with itself.

    Points are taken about their means m and n, and costs of two clouds apart, with d = m - n:

        |x - y|^2 / 2 = [ |x'|^2 / 2 + d.x' + |d|^2 / 2 ] + [ |y'|^2 / 2 - d.y' ] - x'.y'
    """

    def __init__(
        self,
        owner: str,
        here: Particles,
        there: Others | None,
        settings: Wasserstein2 | SinkhornDivergence,
    ):
        self.middle, self.here = _about_mean(here)
        other, self.there = (self.middle, self.here) if there is None else _about_mean(there)
        (x, a), (y, b) = jax.lax.stop_gradient((self.here, self.there))
        strength = _strength(settings.epsilon, settings.target.particles())
        self.epsilon = strength.astype(jnp.result_type(x, y))
        limits = {"tolerance": settings.tolerance, "turns": settings.iterations}
        if there is None:
            self.apart, plan = None, own_sinkhorn(x, a, self.epsilon, **limits)
        else:
            self.apart = self.middle - other
            plan = sinkhorn(x, y, a, b, self.epsilon, **limits)
        second = arrived(owner, plan.second, plan, settings.tolerance, _FIX)
        self.second = jax.lax.stop_gradient(second)

    def potential(self, x: State) -> Scalar:
        """phi(x)."""
        return _potential(x - self.middle, self.there, self.second, self.apart, self.epsilon)

    def value(self) -> Scalar:
        return _value(self.here, self.there, self.second, self.apart, self.epsilon)


def _potential(
    x: State, there: Others, second: Float[Array, "m"], apart: State | None, epsilon: Scalar
) -> Scalar:
    points, weights = there
    if apart is None:
        pairs, alone = -0.5 * jnp.sum(jnp.square(points - x[None]), axis=1), 0.0
    else:
        pairs = jnp.dot(points, x, precision=jax.lax.Precision.HIGHEST)
        alone = 0.5 * x @ x + apart @ x + 0.5 * apart @ apart
    return alone - epsilon * logsumexp((second + pairs) / epsilon, b=weights)


@jax.jit
def _value(
    here: Particles, there: Others, second: Float[Array, "m"], apart: State | None, epsilon: Scalar
) -> Scalar:
    (points, weights), (others, theirs) = here, there
    rows = max(1, min(len(points), PAIRS // others.size))
    potential = jax.checkpoint(lambda x: _potential(x, there, second, apart, epsilon))
    phi = jax.lax.map(potential, points, batch_size=rows)
    alone = 0.0 if apart is None else 0.5 * jnp.sum(others * others, axis=1) - others @ apart
    return weights @ phi + theirs @ (second + alone)


def _about_mean(cloud: Particles | Others) -> tuple[State, Particles | Others]:
    points, weights = cloud
    middle = jax.lax.stop_gradient(weights @ points)
    return middle, (points - middle[None], weights)


def _strength(epsilon: float | None, target: Particles | Others) -> Scalar:
    """The strength of the entropy: what is given, or a part of the total variance of the target."""
    if epsilon is not None:
        return jnp.asarray(epsilon, float)
    points, weights = jax.lax.stop_gradient(_about_mean(target)[1])
    total = weights @ jnp.sum(points * points, axis=1)
    # All mass is at one place: any strength gives the same plan.
    return jnp.where(total > 0, _STRENGTH * total, 1.0)


def _check(owner: str, epsilon: float | None, tolerance: float, iterations: int) -> None:
    if epsilon is not None:
        positive(owner, "epsilon", epsilon)
    positive(owner, "tolerance", tolerance)
    count(owner, "iterations", iterations, wanted="at least 1")
