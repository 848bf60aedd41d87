"""The game: the one object everything else is derived from.

    min over controls v and densities rho of

        M(rho(T)) + int_0^T I(rho(t)) dt + int_0^T E_rho(t)[ L(t, X, v) ] dt

    dX = [a(t, X) + g(t) v] dt + sigma(t) dW,      rho(0) = rho_0

Its optimality system, with U the value function (cost to go) and v* = argmax_v -p.(g v) - L:

    HJB   -dt U + H(t, x, grad U) - (sigma^2/2) lap U = dI/drho(rho(t))(x),   U(T) = dM/drho(rho(T))
    FP     dt rho + div( rho (a + g v*) ) = (sigma^2/2) lap rho,              rho(0) = rho_0

On a domain with circles U and rho are periodic along them; at reflecting walls nothing flows out,

    grad U . n = 0,      ( rho (a + g v*) - (sigma^2/2) grad rho ) . n = 0

With a discount r > 0 what is paid at time t counts e^{-r t}: I and E L by it, M by e^{-r T}. The
value function U is then the current value, in units of the time at which it is taken,

    HJB   -dt U + r U + H(t, x, grad U) - (sigma^2/2) lap U = dI/drho(rho(t))(x),   U(T) = dM/drho

and the present value is e^{-r t} U. No weight appears in the equations, so none underflows.

References:
    B. J. Zhang, M. A. Katsoulakis, "A mean-field games laboratory for generative modeling"
    (2023), arXiv 2304.13534, section 2.
    W. H. Fleming, H. M. Soner, "Controlled Markov processes and viscosity solutions" (2006),
    section I.7 (discounted costs).
"""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._base import AbstractDensity
from mfgen.densities._labels import LabelledPoints
from mfgen.dynamics._dynamics import AbstractDynamics, check_dynamics, plain
from mfgen.functionals._functional import AbstractFunctional, Zero
from mfgen.games._domain import check_seams, on_domain, own_functions
from mfgen.math._axes import Euclidean
from mfgen.math._linear_map import source_size
from mfgen.math._space import AbstractDomain


class MFG(eqx.Module):
    """A mean-field game: controlled dynamics, a Lagrangian, and costs of the population.

    Arguments:
        dynamics: how a particle moves, such as `Integrator(sigma=0.5)`.
        lagrangian: what its control costs, such as `Kinetic()`.
        terminal: the cost M of the final density, such as `KL(target)`.
        interaction: the cost rate I of the density on the way.
        initial: the density at time 0, where it is needed.
        data_at: the end of time at which the particles are data, and so the density that is
            modelled: "end" for games that turn noise into data, "start" for normalizing flows,
            which carry data to a reference and are sampled backward.
        domain: where particles live, Euclidean space if absent: circles, `Torus(periods)`;
            reflecting walls, `Box(low, high)`; products of them. Densities are folded onto it, and
            distances go by the shortest way.
        discount: the rate r >= 0, per unit of time, at which what is paid later counts less. With
            it value functions are current values.

    Raises:
        TypeError: if a part is of the wrong kind.
        ValueError: if the dynamics' functions do not have the shapes of their interface, such as a
            diffusion that is neither a number nor a matrix; if `data_at` is neither "start" nor
            "end", or "start" in a game with noise, whose particles have no way back; a discount
            that is negative or not finite; for what does not fit the domain: another number of
            axes, points beyond walls, a drift or a cost that jumps where a circle closes.

    Example:

        game = MFG(Integrator(), Kinetic(0.5), KL(target), initial=Empirical(data))
        hjb(game, u, rho, t, x)      # 0 where u and rho solve it
    """

    dynamics: AbstractDynamics
    lagrangian: AbstractLagrangian
    terminal: AbstractFunctional
    interaction: AbstractFunctional = Zero()
    initial: AbstractDensity | None = None
    data_at: Literal["start", "end"] = eqx.field(static=True, default="end")
    discount: float = eqx.field(static=True, default=0.0, converter=plain)
    domain: AbstractDomain = Euclidean()

    def __post_init__(self):
        fix = "pass `Torus(periods)` or `Box(low, high)`"
        _check.of_kind("MFG", "domain", self.domain, AbstractDomain, fix)
        costs = {"terminal": self.terminal, "interaction": self.interaction}
        fits = all(isinstance(cost, AbstractFunctional) for cost in costs.values())
        fits = fits and isinstance(self.initial, AbstractDensity | None)
        if self.domain.bounded and fits and isinstance(self.dynamics, AbstractDynamics):
            for name, part in on_domain(self.domain, self.initial, self.dynamics, costs).items():
                setattr(self, name, part)

    def __check_init__(self):
        of_kind = _check.of_kind
        of_kind("MFG", "dynamics", self.dynamics, AbstractDynamics, "use `Integrator()`")
        of_kind("MFG", "lagrangian", self.lagrangian, AbstractLagrangian, "use `Kinetic()`")
        for name in ("terminal", "interaction"):
            fix = "wrap a function f(x) as `Linear(f)` and a target density as `KL(target)`"
            of_kind("MFG", name, getattr(self, name), AbstractFunctional, fix)
        if self.initial is not None:
            fix = "wrap data as `Empirical(points)`"
            of_kind("MFG", "initial", self.initial, AbstractDensity, fix)
        self._check_dimensions()
        dim = None if self.initial is None else self.initial.dim
        check_dynamics("MFG", self.dynamics, dim)
        _check.a_number("MFG", "discount", self.discount, "pass the rate per unit of time")
        if dim is not None:
            _check_costs(self, dim)
            if self.domain.bounded:
                check_seams(self, dim)
        if self.data_at not in ("start", "end"):
            raise ValueError(
                f'`MFG` got data_at = {self.data_at!r}, expected "start" or "end": pass "start" '
                "for a normalizing flow."
            )
        if self.data_at == "start" and not self.dynamics.deterministic:
            raise ValueError(
                '`MFG` got data_at = "start" with dynamics that have noise, expected sigma = 0: '
                "random paths are not run backward; declare the game from noise to data."
            )
        if not (math.isfinite(self.discount) and self.discount >= 0):
            raise ValueError(
                f"`MFG` got discount = {self.discount}, expected a finite number >= 0: pass the "
                "rate per unit of time, such as 1 / epsilon."
            )

    def _check_dimensions(self) -> None:
        # Labels are coordinates of their points, and not of the goal as it is declared.
        if self.initial is None or isinstance(self.initial, LabelledPoints):
            return
        for name in ("terminal", "interaction"):
            goal = getattr(self, name).goal
            if goal is not None and goal.dim != self.initial.dim:
                raise ValueError(
                    f"`MFG` got {name} with a density in {goal.dim} dimensions for an initial "
                    f"density in {self.initial.dim}, expected as many: declare both in one space."
                )


def _check_costs(game: MFG, dim: int) -> None:
    """Refuses costs that return anything but one number, by their shapes alone."""
    number = jnp.result_type(float)
    x, t = jax.ShapeDtypeStruct((dim,), number), jax.ShapeDtypeStruct((), number)
    control = source_size(game.dynamics.gain(jnp.zeros((), number)), dim)
    v = jax.ShapeDtypeStruct((control,), number)
    lagrangian, name = game.lagrangian, type(game.lagrangian).__name__
    _check.scalar_valued("MFG", f"a lagrangian `{name}`", lagrangian, t, x, v)
    for place, cost in (("terminal", game.terminal), ("interaction", game.interaction)):
        for function, name in own_functions(cost):
            _check.scalar_valued("MFG", f"a {place} cost `{name}`", function, x)
