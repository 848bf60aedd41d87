"""What a terminal cost that is linear in the density asks of a flow where its paths end.

    `PathCost`       E dM/drho(x(T))
    `PathCostate`    E |grad U(T, x(T)) - grad dM/drho(x(T))|^2

The first is the terminal cost itself, up to a constant; the second the gradient of the terminal
condition, which ties the potential to M where an additive constant of dM/drho means nothing, such
as that of a critic.

Reference: H. Gu, M. A. Katsoulakis, L. Rey-Bellet, B. J. Zhang (2024), arXiv 2407.11901.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from mfgen._types import Scalar
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.train.paths import AbstractPathTerm, Path, Paths, deterministic, potential
from mfgen.train.payment import Pays

_FRESH = Paths(starts="initial")


class PathCost(AbstractPathTerm):
    """E dM/drho(x(T)), for a terminal cost that is linear in the density, such as one by a critic.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.
    """

    paths: Paths = _FRESH

    def admits(self, game: MFG, model: AbstractModel) -> None:
        deterministic("PathCost", game)

    def pays(self, game: MFG) -> Pays:
        # M is paid at T as it stands, and counts e^{-r T} in the game.
        return Pays(terminal=math.exp(game.discount * game.dynamics.horizon))

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        return game.terminal.variation(None, path.end)


class PathCostate(AbstractPathTerm):
    """E |grad U(T, x(T)) - grad dM/drho(x(T))|^2, for a terminal cost that is linear.

    The ends of the paths and the critic are taken as given: the potential alone is moved.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.

    Raises (when evaluated):
        TypeError: for a model without a value function.
    """

    regularises: ClassVar[bool] = True
    paths: Paths = _FRESH

    def admits(self, game: MFG, model: AbstractModel) -> None:
        deterministic("PathCostate", game)
        potential("PathCostate", model)

    def pays(self, game: MFG) -> Pays:
        return Pays(equations=frozenset({"terminal"}))

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        end = jax.lax.stop_gradient(path.end)
        wanted = jax.grad(lambda x: game.terminal.variation(None, x))(end)
        found = model.costate(jnp.asarray(game.dynamics.horizon, end.dtype), end)
        return jnp.sum(jnp.square(found - wanted))
