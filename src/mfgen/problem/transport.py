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

Both need particles of the two laws and no density. Derivatives hold the dual potential of the
target fixed, which is exact at first order (the envelope theorem), not beyond.

References: M. Cuturi, "Sinkhorn distances" (2013), arXiv 1306.0895 (run here by ott-jax); J. Feydy,
T. Séjourné, F.-X. Vialard, S. Amari, A. Trouvé, G. Peyré, "Interpolating between optimal transport
and MMD using Sinkhorn divergences" (2019), arXiv 1810.08278.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Batch, Scalar, State
from mfgen.density.base import AbstractDensity, Weights
from mfgen.problem.dynamics import positive
from mfgen.problem.functional import AbstractFunctional, Population, given

Particles = tuple[Batch, Weights]
Others = tuple[Float[Array, "m dim"], Float[Array, "m"]]

# Pairs at once: above it costs are computed again when they are needed, by rows.
_PAIRS = 2**24


class Wasserstein2(AbstractFunctional):
    """F = OT(rho, pi), the entropic W2^2 / 2, with the Kantorovich potential as first variation.

    Arguments:
        target: pi, which need only have particles: `Empirical(data)` will do.
        epsilon: strength of the entropy, in the units of |x|^2; iterations grow like its inverse.
        tolerance: of the mass that the plan misses, in the 1-norm.
        iterations: of Sinkhorn's algorithm, at most; a plan that misses more is used as it is.
    """

    target: AbstractDensity
    epsilon: float = eqx.field(static=True, default=0.05)
    tolerance: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=2000)

    def __check_init__(self):
        _check("Wasserstein2", self.epsilon, self.tolerance, self.iterations)

    @property
    def goal(self) -> AbstractDensity:
        return self.target

    def value(self, rho: Population) -> Scalar:
        here, there = given("Wasserstein2", rho).particles(), self.target.particles()
        return _Plan(here, there, self).value()

    def variation(self, rho: Population, x: State) -> Scalar:
        here, there = given("Wasserstein2", rho).particles(), self.target.particles()
        return _Plan(here, there, self).potential(x)


class SinkhornDivergence(AbstractFunctional):
    """F = OT(rho, pi) - OT(rho, rho) / 2 - OT(pi, pi) / 2, zero at rho = pi only.

    Arguments:
        target: pi, which need only have particles: `Empirical(data)` will do.
        epsilon: strength of the entropy, in the units of |x|^2: small for transport, large for an
            MMD with the kernel -|z|^2 / 2, which sees the mean alone.
        tolerance, iterations: as of `Wasserstein2`.
    """

    target: AbstractDensity
    epsilon: float = eqx.field(static=True, default=0.05)
    tolerance: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=2000)

    def __check_init__(self):
        _check("SinkhornDivergence", self.epsilon, self.tolerance, self.iterations)

    @property
    def goal(self) -> AbstractDensity:
        return self.target

    def value(self, rho: Population) -> Scalar:
        here, there = given("SinkhornDivergence", rho).particles(), self.target.particles()
        own = _Plan(here, here, self).value() + _Plan(there, there, self).value()
        return _Plan(here, there, self).value() - 0.5 * own

    def variation(self, rho: Population, x: State) -> Scalar:
        here, there = given("SinkhornDivergence", rho).particles(), self.target.particles()
        return _Plan(here, there, self).potential(x) - _Plan(here, here, self).potential(x)


class _Plan:
    """The optimal plan of two clouds, by the dual potential psi of the second."""

    def __init__(self, here: Particles, there: Others, settings: Wasserstein2 | SinkhornDivergence):
        self.here, self.there, self.epsilon = here, there, settings.epsilon
        self.psi = jax.lax.stop_gradient(_dual(here, there, settings))

    def potential(self, x: State) -> Scalar:
        """phi(x)."""
        points, weights = self.there
        costs = 0.5 * jnp.sum((points - x[None]) ** 2, axis=1)
        return -self.epsilon * logsumexp((self.psi - costs) / self.epsilon, b=weights)

    def value(self) -> Scalar:
        points, weights = self.here
        rows = max(1, min(len(points), _PAIRS // self.there[0].size))
        phi = jax.lax.map(jax.checkpoint(self.potential), points, batch_size=rows)
        return weights @ phi + self.there[1] @ self.psi


def _dual(
    here: Particles, there: Others, settings: Wasserstein2 | SinkhornDivergence
) -> Float[Array, "m"]:
    """psi at the points of the second cloud."""
    pointcloud, linear_problem, sinkhorn = _library()
    (x, a), (y, b) = jax.lax.stop_gradient((here, there))
    batch = None if len(x) * len(y) <= _PAIRS else 512
    solver = sinkhorn.Sinkhorn(
        threshold=settings.tolerance, max_iterations=settings.iterations, norm_error=1
    )
    # The library takes |x|^2 + |y|^2 - 2 x.y, which far from zero is rounding.
    centre = jnp.mean(y, axis=0, keepdims=True)
    x, y = x - centre, y - centre
    with jax.numpy_rank_promotion("allow"):  # which the library relies on
        # Its cost is |x - y|^2, twice ours, and its potentials hold eps log a and eps log b.
        cloud = pointcloud.PointCloud(x, y, epsilon=2 * settings.epsilon, batch_size=batch)
        f = 0.5 * solver(linear_problem.LinearProblem(cloud, a, b)).f

    def psi(point: State) -> Scalar:
        costs = 0.5 * jnp.sum((x - point[None]) ** 2, axis=1)
        return -settings.epsilon * logsumexp((f - costs) / settings.epsilon)

    return jax.lax.map(psi, y, batch_size=max(1, min(len(y), _PAIRS // x.size)))


def _check(owner: str, epsilon: float, tolerance: float, iterations: int) -> None:
    positive(owner, "epsilon", epsilon)
    positive(owner, "tolerance", tolerance)
    if iterations < 1:
        raise ValueError(f"`{owner}` got iterations = {iterations}, expected at least 1.")


def _library():
    """ott-jax, without the warning of a library below it that says it is no longer kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from ott.geometry import pointcloud
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn
    return pointcloud, linear_problem, sinkhorn
