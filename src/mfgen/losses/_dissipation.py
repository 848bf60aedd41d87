"""Discounted games by what they dissipate: an objective over windows of a model's own paths.

The game of `mfgen.zoo._gradient_flow`, with the interaction r F and the discount r = 1 / e, asks of
a flow, from any time t on,

    int e^{-r (s - t)} E[ L + r F ] ds = F(rho(t)) + int e^{-r (s - t)} ( E L + dF/ds ) ds

    `WeightedDissipation`    r E int e^{-r (s - t)} ( L + b.grad V - a div b ) ds

for dF/drho = a log rho + V. As e -> 0 the first is E[ |b|^2 / 2 + b.grad V - a div b ], of which
b = -grad dF/drho is the minimiser. It needs no density; `DissipationHJB`, the residual in the same
windows, follows log rho along the paths.

References: A. Mielke, U. Stefanelli, "Weighted energy-dissipation functionals for gradient flows",
ESAIM COCV 17 (2011); R. Rossi et al. (2019), arXiv 1801.04988.
"""

from typing import ClassVar

import jax

from mfgen._types import Batch, Key, Scalar
from mfgen.densities._energy import check_energy
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractBundle, AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.losses._windows import Ahead, Windows, affine, check_affine
from mfgen.models._base import AbstractModel
from mfgen.simulate._ends import initial_density

_INSPECTED = 1024  # points of the initial density where V is evaluated beforehand


class WeightedDissipation(AbstractObjective):
    """The discounted cost ahead of particles along their paths, per unit of time.

    Arguments:
        windows: how they are drawn and followed.

    Raises (when evaluated):
        TypeError: for a game with noise, or costs that need samples of the density.
        ValueError: for a game without a discount or an initial density.

    Raises (by `check`):
        ValueError: also if dI/drho or dM/drho is not affine in log rho, or V or its gradient not
            finite where particles start.
    """

    needs_density: ClassVar[bool] = False
    windows: Windows = Windows()

    def bundle(self) -> AbstractBundle:
        return self.windows

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.windows.evaluate([(1.0, self)], game, model, batch, key=key).total

    def needs_data(self, game: MFG) -> bool:
        return self.windows.needs_data()

    def check(self, game: MFG) -> None:
        self.windows.admits("WeightedDissipation", game)
        start = initial_density("WeightedDissipation", game)
        points = start.sample(_INSPECTED, key=jax.random.key(0))
        for cost in (game.interaction, game.terminal):
            check_affine(cost, points[0])
            check_energy(
                "WeightedDissipation",
                lambda x, cost=cost: affine(cost, x).potential(x),
                points,
            )

    def admits(self, game: MFG, model: AbstractModel) -> None:
        self.windows.admits("WeightedDissipation", game)

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def value(self, game: MFG, model: AbstractModel, ahead: Ahead) -> Scalar:
        # Where the window reaches T, the terminal cost takes the place of F.
        rest = game.terminal + (-1 / game.discount) * game.interaction
        goes = affine(rest, ahead.x)
        ends = goes.potential(ahead.end) - goes.slope * ahead.log_det
        return ahead.paid + game.discount * ahead.fade * ends
