"""Action matching: the potential whose optimal control moves a prescribed path of densities.

A path rho_t from the data to the reference, with samples, is given; wanted is U(t, x) with

    dt rho + div(rho b) = 0,      b = a + g v* = -dH/dp(t, x, grad U).

Let u be any velocity of the path. As d/dt E_rho_t[U] = E[ dt U + u.grad U ], the functional

    A(U) = E_rho_T[U(T)] - E_rho_0[U(0)] + int_0^T E_rho_t[ -dt U + H(t, x, grad U) ] dt
         = int_0^T E_rho_t[ H(t, x, grad U) + u.grad U ] dt.

H(p) is the supremum over velocities w of -p.w - L(w), with L(w) the least cost of w, so

    A(U) = -int E[ L(t, x, u) ] dt + int E[ L(t, x, u) + H(t, x, grad U) + u.grad U ] dt,

where the second term, the action gap, is >= 0 and vanishes where u = -dH/dp(grad U). A is convex;
its minimum is minus the least cost of moving the path, reached by the U above. For the kinetic cost
k |v|^2 / 2 the gap is int E[ (k/2) |u + grad U / k|^2 ] dt, flow matching in other words. Adding
c(t) to U changes nothing. With U = -S these are the signs of K. Neklyudov et al.: there S(0) is
counted positive and S(T) negative, v = grad S.

The first form needs samples of each rho_t alone. The second, with u replaced by the velocity of
the pair that x_t comes from (same mean given x_t), has less variance and half the cost.

References: K. Neklyudov, R. Brekelmans, D. Severo, A. Makhzani, "Action matching" (2023),
arXiv 2210.06662; K. Neklyudov et al., "Wasserstein Lagrangian flows" (2023), arXiv 2310.10649.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.games._game import MFG
from mfgen.losses._coupling import AbstractCoupling, Independent, partners, stratified
from mfgen.losses._interpolation import (
    AbstractInterpolant,
    Straight,
    between,
    check_prescribed,
    with_label,
)
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.math._chunk import chunked_mean
from mfgen.models._base import AbstractModel, AbstractPotential


class ActionMatching(AbstractObjective):
    """E[U(T, z) - U(0, x)] + int_0^T E[ -dt U + H(t, x_t, grad U) ] dt, to be minimised.

    Arguments:
        coupling: how data are paired with points of the reference.
        interpolant: the path x_t between them.
        paired: whether the velocities of pairs are used, int E[ H(t, x_t, grad U) + x_t'.grad U ]
            dt, in place of samples of the densities alone.

    Raises (when evaluated):
        TypeError: for a model without a value function, or a game that is no flow from data.
        ValueError: for a cost without a Hamiltonian, such as L = 0.
    """

    euclidean: ClassVar[bool] = True
    coupling: AbstractCoupling = Independent()
    interpolant: AbstractInterpolant = Straight()
    paired: bool = eqx.field(static=True, default=False)

    def pays(self, game: MFG) -> Pays:
        check_prescribed("ActionMatching", game)
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        if not isinstance(model, AbstractPotential):
            raise TypeError(
                f"`ActionMatching` got a model `{type(model).__name__}` without a value function, "
                "expected a potential: use `ot_flow_potential(game, key=key)`, or `FlowMatching` "
                "for a control or a vector field."
            )
        # As in flow matching, with which it shares its pairs and times.
        pair_key, time_key, _ = jax.random.split(key, 3)
        goal = partners("ActionMatching", game, self.coupling, batch, key=pair_key)
        s = stratified(batch.shape[0], key=time_key, dtype=batch.dtype)
        x, move = with_label(game, *between(self.interpolant, s, batch, goal), batch)
        horizon = jnp.asarray(game.dynamics.horizon, batch.dtype)

        def paired(model: AbstractPotential, sample) -> Scalar:
            t, x, move = sample
            costate = model.costate(t, x)
            # int_0^T x'.grad U dt is int_0^1 of the derivative in s.
            return horizon * hamiltonian(game, t, x, costate) + jnp.vdot(costate, move)

        def action(model: AbstractPotential, sample) -> Scalar:
            t, x, first, last = sample
            time, costate = jax.grad(model, argnums=(0, 1))(t, x)
            ends = model(horizon, last) - model(jnp.zeros_like(horizon), first)
            return ends + horizon * (hamiltonian(game, t, x, costate) - time)

        if self.paired:
            return chunked_mean(paired, model, (horizon * s, x, move))
        return chunked_mean(action, model, (horizon * s, x, batch, goal))
