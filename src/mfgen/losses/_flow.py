"""Likelihood of continuous normalizing flows, and what regularises them, along their paths.

A flow carries the data rho(0) to a reference pi at T. Its objective as a game is

    KL(rho(T) || pi) + int E[L(t, x, v)] dt,      log rho(T, x(T)) = log rho(0, x(0)) - log |det|

and KL(rho(T) || pi) = KL(data || model): up to the entropy of the data it is the cross-entropy

    `PathLikelihood`     E[ -log pi(x(T)) - log |det| ]                           in nats
    `TransportCost`      E int e^{-r t} L(t, x, v) dt       r the game's discount, 0 as a rule
    `JacobianPenalty`    E int |Dv|_F^2 dt                                        RNODE
    `PathCost`           E dM/drho(x(T))                M linear, as one by a critic
    `ReverseKL`          E[ log rho_0(x(0)) - log |det| - log pi(x(T)) ]       energies, no data

so that weight * PathLikelihood() + TransportCost() is the game with M = weight KL (e^{r T} weight
KL if it is discounted). The Jacobian
penalty is no function of (x, v): there is no Hamiltonian and no HJB equation of a game with it; it
regularises the parametrisation alone.

References: D. Onken et al. (2021), arXiv 2006.00104; C. Finlay et al., "How to train your neural
ODE" (2020), arXiv 2002.02798; B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Scalar
from mfgen.densities._base import AbstractEvaluable
from mfgen.densities._energy import check_energy
from mfgen.functionals._functional import evaluable
from mfgen.games._game import MFG
from mfgen.losses._paths import (
    AbstractPathTerm,
    Here,
    Path,
    Paths,
    deterministic,
)
from mfgen.losses._payment import Pays, pays_divergence, undiscounted
from mfgen.models._base import AbstractModel
from mfgen.simulate._ends import evaluable_reference

_DEFAULT = Paths()
_HOTTEST = 0.05  # the first beta of a tempered goal
_INSPECTED = 1024  # points of the initial density where an energy is evaluated beforehand


class PathLikelihood(AbstractPathTerm):
    """-log density of the data under the flow, in nats: E[-log pi(x(T)) - log |det|].

    Arguments:
        paths: how paths are followed.

    Raises (when evaluated):
        TypeError: for a game with noise, or data at its end, or a reference without log-density.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"divergence"})
    paths: Paths = _DEFAULT

    def admits(self, game: MFG, model: AbstractModel) -> None:
        deterministic("PathLikelihood", game)
        if game.data_at != "start":
            raise TypeError(
                '`PathLikelihood` got a game with data_at = "end", expected a normalizing flow, '
                'from data to a reference: declare `MFG(..., data_at="start")`.'
            )
        evaluable_reference("PathLikelihood", game)

    def pays(self, game: MFG) -> Pays:
        return pays_divergence("PathLikelihood", game, evaluable_reference("PathLikelihood", game))

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        goal = evaluable_reference("PathLikelihood", game)
        return -goal.log_density(path.end) - path.log_det


class ReverseKL(AbstractPathTerm):
    """KL(rho(T) || pi) of a flow from a known density to the goal of the terminal cost.

    No data are needed, and pi only up to a constant: a Boltzmann generator's "training by energy".
    This divergence forgives a flow that leaves modes out, and descent from one density to another
    with several does: it is tempered. While it trains, the goal goes from near rho_0 to pi,

        pi_beta ~ rho_0^(1 - beta) pi^beta,      beta = .05^(1 - s),   s from 0 to 1

    so that modes part when mass can still pass between them. Evaluated by itself it has beta = 1.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.
        tempering: part of the training in which beta rises to 1; 0 for none.
        beta: the present beta, set by the training.

    Raises (when evaluated):
        TypeError: for a game with noise, without a goal, or an initial density without logarithm.

    Before a training `fit` evaluates the energy -log pi at points of the initial density.

    Raises (by `check`):
        ValueError: if the energy or its gradient is not finite at one of them.

    Reference: F. Noé et al., "Boltzmann generators" (2019), arXiv 1812.01729.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"divergence"})
    by_run: ClassVar[tuple[str, ...]] = ("beta",)
    paths: Paths = Paths(starts="initial")
    tempering: float = eqx.field(static=True, default=0.7)
    beta: Scalar | float = 1.0

    def __check_init__(self):
        if not 0 <= self.tempering <= 1:
            raise ValueError(
                f"`ReverseKL` got tempering = {self.tempering}, expected a part of the training "
                "from 0 to 1: pass tempering=0.0 for none."
            )

    def during(self, part: Scalar) -> "ReverseKL":
        if not self.tempering:
            return self
        rest = jnp.maximum(1 - part / self.tempering, 0.0)
        return dataclasses.replace(self, beta=jnp.power(_HOTTEST, rest))

    def admits(self, game: MFG, model: AbstractModel) -> None:
        deterministic("ReverseKL", game)
        evaluable("ReverseKL", "initial density", game.initial)
        evaluable("ReverseKL", "goal of the terminal cost", game.terminal.goal)

    def pays(self, game: MFG) -> Pays:
        goal = evaluable("ReverseKL", "goal of the terminal cost", game.terminal.goal)
        return pays_divergence("ReverseKL", game, goal)

    def check(self, game: MFG) -> None:
        start = evaluable("ReverseKL", "initial density", game.initial)
        goal = evaluable("ReverseKL", "goal of the terminal cost", game.terminal.goal)
        points = start.sample(_INSPECTED, key=jax.random.key(0))
        check_energy("ReverseKL", lambda x: -goal.log_density(x), points)

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        start, goal = game.initial, game.terminal.goal
        assert isinstance(start, AbstractEvaluable)
        assert isinstance(goal, AbstractEvaluable)
        gone = start.log_density(path.start) - path.log_det
        wanted = goal.log_density(path.end)
        if self.tempering:
            wanted = self.beta * wanted + (1 - self.beta) * start.log_density(path.end)
        return gone - wanted


class TransportCost(AbstractPathTerm):
    """The running cost of the control, E int e^{-r t} L(t, x, v) dt.

    Arguments:
        paths: how paths are followed.
    """

    regularises: ClassVar[bool] = True
    paths: Paths = _DEFAULT

    def pays(self, game: MFG) -> Pays:
        return Pays(lagrangian=1.0)

    def advice(self, game: MFG) -> str:
        own = (game.lagrangian.advice(), self.paths.integrator.advice())
        return "; ".join(text for text in own if text)

    def rate(self, game: MFG, here: Here) -> Scalar:
        paid = game.lagrangian(here.t, here.x, here.control)
        return jnp.exp(-game.discount * here.t) * paid if game.discount > 0 else paid


class JacobianPenalty(AbstractPathTerm):
    """E int |Db|_F^2 dt, exact or by the probes of the divergence: E |Db z|^2 = |Db|_F^2.

    Arguments:
        paths: how paths are followed.

    Reference: C. Finlay et al. (2020), arXiv 2002.02798.
    """

    regularises: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset({"jacobian"})
    paths: Paths = _DEFAULT

    def rate(self, game: MFG, here: Here) -> Scalar:
        assert here.pushed is not None
        total = jnp.sum(jnp.square(here.pushed))
        return total if here.exact else total / here.pushed.shape[0]


class PathCost(AbstractPathTerm):
    """E dM/drho(x(T)), for a terminal cost that is linear in the density, such as one by a critic.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.
    """

    paths: Paths = Paths(starts="initial")

    def pays(self, game: MFG) -> Pays:
        # M is paid at T as it stands, and counts e^{-r T} in the game.
        return Pays(terminal=undiscounted(game))

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        return game.terminal.variation(None, path.end)
