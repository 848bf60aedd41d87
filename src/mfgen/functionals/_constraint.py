"""A hard terminal condition: the density at the end is prescribed.

    rho(T) = pi.      F(rho) = 0 if rho = pi, infinite otherwise

It has no first variation: U(T, .) is a free multiplier, determined with the solution up to a
constant, so that the particles arrive at pi. It is the limit of `lambda * KL(pi)` as lambda grows.
Schrödinger bridges are of this kind.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 5.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.densities._base import AbstractDensity
from mfgen.densities._grid import GridDensity
from mfgen.functionals._functional import AbstractFunctional, Population, Zero, evaluable


class Prescribed(AbstractFunctional):
    """The terminal density is `target`.

    Its value counts zero: what a candidate misses is told by its terminal mismatch.

    Arguments:
        target: pi; samples, `Empirical(points)`, where particles are trained to arrive there, a
            law with a log-density for solvers on a grid.

    Example:

        bridge = MFG(Integrator(0.5), Kinetic(), Prescribed(Empirical(points)), initial=start)
        print(plan(bridge))
    """

    target: AbstractDensity

    def separated(self) -> tuple[AbstractFunctional, tuple[AbstractDensity, ...]]:
        return Zero(), (self.target,)

    def value(self, rho: Population) -> Scalar:
        return jnp.asarray(0.0)

    def variation(self, rho: Population, x: State) -> Scalar:
        """Refuses: a constraint has no first variation.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "`Prescribed` has no first variation: U(T, x) is a free multiplier, found by a solver "
            "such as `Grid` or the trainer `Augmented`; for a soft condition take `KL(target)`."
        )

    def lack(self, u: Float[Array, "*points"], rho: GridDensity) -> Float[Array, "*points"]:
        """The terminal mismatch log rho - log pi on rho's lattice: prices rise where rho > pi."""
        nodes = jnp.asarray(rho.lattice.nodes(), rho.mass.dtype).reshape(-1, rho.dim)
        target = evaluable("Prescribed", "target", self.target)
        there = jax.vmap(lambda x: rho.log_density(x) - target.log_density(x))(nodes)
        return there.reshape(rho.lattice.points)
