"""The game's own equations as a loss: zero at its solution, wherever they are asked for.

    hjb                  -dt U + r U + H(t, x, grad U) - tr(D Hess U) - dI/drho
    hjb_gradient         its gradient, written for p = grad U alone
    terminal             U(T, x) - dM/drho
    terminal_gradient    grad U(T, x) - grad dM/drho
    martingale           the first and the third in one along noisy paths, without second
                         derivatives (`mfgen.losses._martingale`), from time 0 on
    martingale_anytime   the same from every node of the paths on

    loss = E w(t) |c R|^q,     c the factor of the place: for noised data 2 sigma^2 / g^2, which
                               makes it one per unit of log kappa; 1 / r in windows; else 1

with D = sigma sigma^T / 2. The Laplacian is exact (one forward pass) or estimated by Hutchinson
probes; then |.|^2 is the mean product of independent pairs of estimates, which is unbiased, where
the square of one estimate would be too large by its variance.

"hjb" and "terminal", or "martingale", train a game by themselves where the places cover it; beside
a loss of the controls such as `GameCost` they tie the value U, which that leaves free up to a
function of time. For a score-based game the first ties the potentials of all noise levels together,
down from the normalised reference at the noisy end, so that -U(t, x) becomes a log-density.

The Fokker-Planck equation needs no term of its own: the particles solve it by moving, and with
rho = exp(-U) in a score-based game its relative residual is that of the HJB equation. A cost
without Hamiltonian (L = 0) has no HJB equation; a penalty of the Jacobian is no cost of (x, v), and
has none either.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 5 (HJB regularisers);
D. Onken et al. (2021), arXiv 2006.00104 (along paths, q = 1); C.-H. Lai et al. (2023), arXiv
2210.04296 (the gradient form; its divergence enters with plus); L. Ruthotto et al. (2020), arXiv
1912.01825 (the terminal condition).
"""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Costate, Key, Scalar, State
from mfgen.derive._costate import hjb_gradient
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.derive._residual import hjb_from_jet
from mfgen.dynamics._noising import TimeReversal
from mfgen.functionals._functional import AbstractFunctional, evaluable, needs_population
from mfgen.games._game import MFG
from mfgen.losses._known import KnownDensity
from mfgen.losses._laplacian import AbstractLaplacian, Exact, Hutchinson
from mfgen.losses._noised import moving
from mfgen.losses._objective import AbstractBundle, AbstractObjective
from mfgen.losses._own_paths import OwnPaths
from mfgen.losses._paths import Here, Path
from mfgen.losses._payment import Pays
from mfgen.losses._penalty import AbstractPenalty, Squared, penalise
from mfgen.losses._places import AbstractPlaces, Place
from mfgen.losses._weighting import AbstractWeighting, Flat
from mfgen.losses._windows import Ahead
from mfgen.math._autodiff import HeatJet
from mfgen.models._base import AbstractModel, AbstractPotential

_NAMES = {
    "hjb": "HJB",
    "hjb_gradient": "ScoreHJB",
    "terminal": "Terminal",
    "terminal_gradient": "Costate",
    "martingale": "Martingale",
    "martingale_anytime": "Martingale",
}


def _equations(of: str | Sequence[str]) -> tuple[str, ...]:
    return (of,) if isinstance(of, str) or not isinstance(of, Sequence) else tuple(of)


class Residual(AbstractObjective):
    """The residuals of the game's equations at given places.

    Arguments:
        at: where: `OwnPaths()`, `Paths()`, `Windows()`, `NoisedData()`, `SpreadData()`,
            `UniformTime()` or `UniformBox(low, high)`.
        of: which: "hjb", "hjb_gradient", "terminal", "terminal_gradient", "martingale" and
            "martingale_anytime", or several.
        penalty: `Squared()`, `Absolute()`, `Huber(delta)`; `Variance()` for the martingale.
        laplacian: `Exact()` or `Hutchinson(count)`; the latter only with `Squared()`.
        points: how many rows of the batch are used; `None` for all.
        weighting: w(t), `Flat()` or `RatioPower(exponent)`.

    Raises:
        ValueError: for equations or a penalty that do not fit.

    Raises (by `check`, before a training, or when evaluated):
        TypeError: for a model without a value function where one is needed, a game with noise where
            paths know none, or a cost that asks for more of the population than is known there.
        ValueError: for a cost without a Hamiltonian, such as L = 0.

    Example:

        loss = mfgen.GameCost() + 0.1 * mfgen.Residual(of="martingale")
    """

    regularises: ClassVar[bool] = True
    matches: ClassVar[bool] = False
    at: AbstractPlaces = OwnPaths()
    of: tuple[str, ...] = eqx.field(
        static=True,
        default=("hjb", "terminal"),
        converter=_equations,
    )
    penalty: AbstractPenalty = Squared()
    laplacian: AbstractLaplacian = Exact()
    points: int | None = eqx.field(static=True, default=None)
    weighting: AbstractWeighting = Flat()

    def __check_init__(self):
        known = list(_NAMES)
        if (
            not self.of
            or any(one not in known for one in self.of)
            or len({*self.of}) < len(self.of)
        ):
            raise ValueError(
                f"`Residual` got of = {self.of}, expected some of {', '.join(_NAMES)}, each once; "
                "the Fokker-Planck equation is solved by particles that move, and needs no term."
            )
        _check.of_kinds(self, at=(AbstractPlaces, "pass `OwnPaths()` or `NoisedData()`"))
        for name, kind, fix in (
            ("penalty", AbstractPenalty, "pass `Squared()`"),
            ("laplacian", AbstractLaplacian, "pass `Exact()`"),
            ("weighting", AbstractWeighting, "pass `Flat()`"),
        ):
            _check.of_kind(self.name, name, getattr(self, name), kind, fix)
        place, counts = type(self.at).__name__, self.at.counts
        penalty, asks = type(self.penalty).__name__, ", ".join(sorted(self.at.asks))
        estimated = isinstance(self.laplacian, Hutchinson)
        together = not self.penalty.pointwise and bool(self.running or self.ending)
        few = self.points is not None and (self.points < 1 or not counts)
        for wrong, said in (
            (
                not self.at.asks >= set(self.of),
                f"of = {self.of} at `{place}`, expected some of {asks}: pass at=OwnPaths() for "
                "the others",
            ),
            (
                estimated and not isinstance(self.penalty, Squared),
                f"`Hutchinson` with `{penalty}`, expected `Squared()`: only products of "
                "independent estimates are unbiased",
            ),
            (
                together,
                f"`{penalty}`, which compares all residuals, expected it with "
                'of="martingale": pass `Squared()`',
            ),
            (
                few,
                f"points = {self.points}, expected {'at least 1' if counts else 'None'} at "
                f"`{place}`: pass points=64, or None for the whole batch",
            ),
        ):
            if wrong:
                raise ValueError(f"`{self.name}` got {said}.")

    @property
    def name(self) -> str:
        return self.at.prefix + _NAMES[self.of[0]]

    @property
    def running(self) -> tuple[str, ...]:
        """The equations that are asked for on the way."""
        return tuple(name for name in self.of if name.startswith("hjb"))

    @property
    def ending(self) -> tuple[str, ...]:
        """The equations that are asked for at the end."""
        return tuple(name for name in self.of if name.startswith("terminal"))

    @property
    def martingale(self) -> bool:
        return any(name.startswith("martingale") for name in self.of)

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.at.evaluate([(1.0, self)], game, model, batch, key=key).total

    def bundle(self) -> AbstractBundle:
        return self.at

    def pays(self, game: MFG) -> Pays:
        both = {"hjb", "terminal"} if self.martingale else set()
        return Pays(equations=frozenset(both | {name.split("_")[0] for name in self.of}))

    def needs_data(self, game: MFG) -> bool:
        return self.at.needs_data()

    def advice(self, game: MFG) -> str:
        return self.at.advice()

    def check(self, game: MFG) -> None:
        self.at.admits(self.name, game)
        self.at.check(self.name, game, self.of)
        if game.initial is not None and self.of != self.ending:
            point = jax.ShapeDtypeStruct((game.initial.dim,), float)
            jax.eval_shape(lambda x: hamiltonian(game, 0.5 * game.dynamics.horizon, x, x), point)

    def admits(self, game: MFG, model: AbstractModel) -> None:
        """Raises for a game or a model that the equations have no meaning for."""
        self.at.admits(self.name, game)
        by_gradient = self.at.counts and all(name.endswith("gradient") for name in self.of)
        if by_gradient or isinstance(model, AbstractPotential):
            return
        raise TypeError(
            f"`{self.name}` got a model `{type(model).__name__}` without a value function, "
            "expected a potential: use `ot_flow_potential(game, key=key)` or `score_potential`, "
            "leave the term out, or take `ScoreHJB` for vector fields. A control alone, and with "
            "it a penalty of its Jacobian, has no HJB equation."
        )

    def point(self, game: MFG, model: AbstractModel, place: Place) -> tuple[Scalar, Costate | None]:
        """The penalty on the way at one place, and grad U there if it was found."""
        total, costate, (t, x) = jnp.zeros((), place.x.dtype), None, place[:2]
        if place.price is not None:
            game = eqx.tree_at(lambda game: game.interaction, game, place.price)
        if "hjb" in self.of:
            assert isinstance(model, AbstractPotential)
            found = self.laplacian.residuals(game, model, t, x, key=place.key)
            total, costate = penalise(self.penalty, place.factor * found.values), found.costate
        if "hjb_gradient" in self.of:
            residual = moving(game, hjb_gradient(game, model.costate, None, t, x))
            if isinstance(game.dynamics.of_points, TimeReversal):
                # In units of noise, as scores are in score matching.
                noising = game.dynamics.of_points.noising
                residual = noising.noise(noising.horizon - t) * residual
            total = total + jnp.sum(self.penalty(place.factor * residual))
        return place.weight * (self.weighting(game, t) * total), costate

    def end(
        self, game: MFG, model: AbstractModel, x: State, terminal: AbstractFunctional, rho=None
    ) -> Scalar:
        """The penalty of the terminal condition at one place."""
        total, horizon = jnp.zeros((), x.dtype), jnp.asarray(game.dynamics.horizon, x.dtype)
        if "terminal" in self.of:
            assert isinstance(model, AbstractPotential)
            total = self.penalty(model(horizon, x) - terminal.variation(rho, x))
        if "terminal_gradient" in self.of:  # log rho that is followed has no gradient
            wanted = jax.grad(lambda x: terminal.variation(None, x))(x)
            lacks = model.costate(horizon, x) - wanted
            total = total + jnp.sum(self.penalty(lacks))
        return total

    # As a term of `Paths`.

    def needs(self, game: MFG, x: State) -> frozenset[str]:
        found = set()
        if self.running:
            found |= {"value"}
            if needs_population(game.interaction, x):
                found |= {"divergence", "density"}
        if "terminal" in self.of:
            found |= {"divergence"}
        return frozenset(found)

    def rate(self, game: MFG, here: Here) -> Scalar:
        if not self.running:
            return jnp.zeros((), here.x.dtype)
        assert here.jet is not None
        jet = HeatJet(here.jet.value, here.jet.time, here.jet.gradient)
        known = self._known(here.x, here.log_density)
        value = self.penalty(hjb_from_jet(game, jet, lambda _: known, here.t, here.x))
        return self.weighting(game, here.t) * value

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        known, end = None, path.end
        if "terminal" in self.of:
            initial = evaluable(self.name, "initial density", game.initial)
            known = self._known(end, initial.log_density(path.start) - path.log_det)
        else:
            # The ends of the paths and a critic are taken as given: the potential alone is moved.
            end = jax.lax.stop_gradient(end)
        return self.end(game, model, end, game.terminal, known)

    # As a term of `Windows`.

    @property
    def needs_density(self) -> bool:
        return True

    def value(self, game: MFG, model: AbstractModel, ahead: Ahead) -> Scalar:
        assert isinstance(model, AbstractPotential)
        total = jnp.zeros((), ahead.x.dtype)
        if self.running:
            height, (time, gradient) = jax.value_and_grad(model, argnums=(0, 1))(ahead.t, ahead.x)
            jet, known = HeatJet(height, time, gradient), self._known(ahead.x, ahead.log_density)
            along = hjb_from_jet(game, jet, lambda _: known, ahead.t, ahead.x)
            total = self.weighting(game, ahead.t) * self.penalty(along / game.discount)
        if self.ending:
            known = self._known(ahead.last, ahead.last_log_density)
            total = total + self.end(game, model, ahead.last, game.terminal, known)
        return total

    def _known(self, x: State, value: Scalar | float) -> KnownDensity:
        return KnownDensity(x.size, self.name, jnp.asarray(value, x.dtype))
