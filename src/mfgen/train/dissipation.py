"""Discounted games by what they dissipate: objectives over windows of a model's own paths.

The game of `mfgen.zoo.gradient_flow`, with the interaction r F and the discount r = 1 / e, asks of
a flow, from any time t on,

    int e^{-r (s - t)} E[ L + r F ] ds = F(rho(t)) + int e^{-r (s - t)} ( E L + dF/ds ) ds

    `WeightedDissipation`    r E int e^{-r (s - t)} ( L + b.grad V - a div b ) ds
    `DissipationHJB`         E |e R(t, x)|^q + E |U(T, x) - dM/drho|^q
    R                        -dt U + r U + H(t, x, grad U) - r dF/drho

for dF/drho = a log rho + V. As e -> 0 the first is E[ |b|^2 / 2 + b.grad V - a div b ], of which
b = -grad dF/drho is the minimiser. It needs no density; the second follows log rho along the paths.

References: A. Mielke, U. Stefanelli, "Weighted energy-dissipation functionals for gradient flows",
ESAIM COCV 17 (2011); R. Rossi et al. (2019), arXiv 1801.04988; L. Ruthotto et al. (2020), arXiv
1912.01825, for residuals along a model's own paths.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar
from mfgen.density.energy import check_energy
from mfgen.derive.residual import hjb_from_jet
from mfgen.math.autodiff import HeatJet
from mfgen.models.base import AbstractModel, AbstractPotential
from mfgen.problem.functional import evaluable
from mfgen.problem.game import MFG
from mfgen.train.known import KnownDensity
from mfgen.train.objective import AbstractBundle, AbstractObjective
from mfgen.train.paths import deterministic, potential
from mfgen.train.payment import WHOLE, Pays
from mfgen.train.penalty import Absolute, AbstractPenalty
from mfgen.train.windows import Ahead, Windows, affine, check_affine

_INSPECTED = 1024  # points of the initial density where V is evaluated beforehand


class AbstractWindowTerm(AbstractObjective):
    """A term of windows: a value for each; give `admits` and `value`.

    Attributes:
        needs_density: whether log rho is followed along the paths.
    """

    euclidean: ClassVar[bool] = True
    needs_density: ClassVar[bool] = False
    windows: eqx.AbstractVar[Windows]

    def bundle(self) -> AbstractBundle:
        return self.windows

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.windows([(1.0, self)], game, model, batch, key=key).total

    @abstractmethod
    def admits(self, game: MFG, model: AbstractModel) -> None:
        """Raises for a game or a model that the term has no meaning for."""

    @abstractmethod
    def value(self, game: MFG, model: AbstractModel, ahead: Ahead) -> Scalar:
        """The term for one window."""


class WeightedDissipation(AbstractWindowTerm):
    """What a discounted game pays ahead of where its particles are, in units of cost per time.

    Arguments:
        windows: how they are drawn and followed.

    Raises (when evaluated):
        TypeError: for a game with noise, or costs that need samples of the density.
        ValueError: for a game without a discount or an initial density.

    Raises (by `check`):
        ValueError: also if dI/drho or dM/drho is not affine in log rho, or V or its gradient not
            finite where particles start.
    """

    windows: Windows = Windows()

    def check(self, game: MFG) -> None:
        _discounted("WeightedDissipation", game)
        assert game.initial is not None
        points = game.initial.sample(_INSPECTED, key=jax.random.key(0))
        for cost in (game.interaction, game.terminal):
            check_affine(cost, points[0])
            check_energy(
                "WeightedDissipation",
                lambda x, cost=cost: affine(cost, x).potential(x),
                points,
            )

    def admits(self, game: MFG, model: AbstractModel) -> None:
        _discounted("WeightedDissipation", game)

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def value(self, game: MFG, model: AbstractModel, ahead: Ahead) -> Scalar:
        # Where the window reaches T, the terminal cost takes the place of F.
        rest = game.terminal + (-1 / game.discount) * game.interaction
        goes = affine(rest, ahead.x)
        ends = goes.potential(ahead.end) - goes.slope * ahead.log_det
        return ahead.paid + game.discount * ahead.fade * ends


class DissipationHJB(AbstractWindowTerm):
    """The residual of the HJB equation and of its terminal condition, in units of dF/drho.

    Arguments:
        penalty: `Absolute()`, `Squared()` or `Huber(delta)`.
        windows: how they are drawn; the residual is taken where they begin.

    Raises (when evaluated):
        TypeError: for a model without a value function, an initial density without a logarithm, or
            a game with noise.
        ValueError: for a game without a discount or an initial density.
    """

    regularises: ClassVar[bool] = True
    needs_density: ClassVar[bool] = True
    penalty: AbstractPenalty = Absolute()
    windows: Windows = Windows()

    def admits(self, game: MFG, model: AbstractModel) -> None:
        _discounted("DissipationHJB", game)
        potential("DissipationHJB", model)
        evaluable("DissipationHJB", "initial density", game.initial)

    def pays(self, game: MFG) -> Pays:
        return Pays(equations=frozenset({"hjb", "terminal"}))

    def value(self, game: MFG, model: AbstractModel, ahead: Ahead) -> Scalar:
        assert isinstance(model, AbstractPotential)

        def known(value: Scalar) -> KnownDensity:
            return KnownDensity(ahead.x.size, "DissipationHJB", value)

        height, (time, gradient) = jax.value_and_grad(model, argnums=(0, 1))(ahead.t, ahead.x)
        jet = HeatJet(height, time, gradient)
        along = hjb_from_jet(game, jet, lambda _: known(ahead.log_density), ahead.t, ahead.x)
        horizon = jnp.asarray(game.dynamics.horizon, ahead.x.dtype)
        wanted = game.terminal.variation(known(ahead.last_log_density), ahead.last)
        ends = model(horizon, ahead.last) - wanted
        return self.penalty(along / game.discount) + self.penalty(ends)


def _discounted(owner: str, game: MFG) -> None:
    deterministic(owner, game)
    if game.discount <= 0 or game.initial is None:
        lacks = "a discount" if game.discount <= 0 else "an initial density"
        raise ValueError(
            f"`{owner}` got a game without {lacks}, expected a discounted one that says where its "
            "particles start: declare `gradient_flow_game(functional, initial, epsilon)`."
        )
