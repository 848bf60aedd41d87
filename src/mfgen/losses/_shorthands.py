"""Names for residuals at their usual places: each makes a `Residual`.

HJB, ScoreHJB                         at noised data, for score-based games
PathHJB, PathTerminal, PathCostate    along the paths of flows
DissipationHJB                        in windows of discounted games
Martingale                            along noisy paths
"""

from typing import Literal

from mfgen import _check
from mfgen.losses._collocation import AbstractCollocation, NoisedData
from mfgen.losses._laplacian import AbstractLaplacian, Exact
from mfgen.losses._own_paths import OwnPaths
from mfgen.losses._paths import Paths
from mfgen.losses._penalty import Absolute, AbstractPenalty, Squared, Variance
from mfgen.losses._residual import Residual
from mfgen.losses._weighting import AbstractWeighting, Flat
from mfgen.losses._windows import Windows
from mfgen.simulate._diffusion import EulerMaruyama, StochasticHeun

_SQUARED, _ABSOLUTE, _EXACT, _FLAT, _NOISED = Squared(), Absolute(), Exact(), Flat(), NoisedData()
_PATHS, _FRESH, _WINDOWS, _EULER = Paths(), Paths(starts="initial"), Windows(), EulerMaruyama(64)


def HJB(
    penalty: AbstractPenalty = _SQUARED,
    collocation: AbstractCollocation = _NOISED,
    laplacian: AbstractLaplacian = _EXACT,
    points: int | None = 64,
    weighting: AbstractWeighting = _FLAT,
) -> Residual:
    """The Hamilton-Jacobi-Bellman residual of a potential: `Residual(collocation, "hjb")`."""
    _check_collocation("HJB", collocation)
    return Residual(collocation, "hjb", penalty, laplacian, points, weighting)


def ScoreHJB(
    collocation: AbstractCollocation = _NOISED,
    points: int | None = 64,
    weighting: AbstractWeighting = _FLAT,
) -> Residual:
    """The gradient of the HJB equation, for models of the score alone.

    It is the score Fokker-Planck equation: with s = grad log eta,
    ds/ds_time = grad( (g^2/2)(div s + |s|^2) + f.s + div f ), times the noise sigma.
    """
    _check_collocation("ScoreHJB", collocation)
    return Residual(collocation, "hjb_gradient", points=points, weighting=weighting)


def PathHJB(penalty: AbstractPenalty = _ABSOLUTE, paths: Paths = _PATHS) -> Residual:
    """The HJB residual along a flow's paths, E int |R(t, x)|^q dt, as in OT-Flow."""
    return Residual(paths, "hjb", penalty)


def PathTerminal(penalty: AbstractPenalty = _ABSOLUTE, paths: Paths = _PATHS) -> Residual:
    """The mismatch of the terminal condition where a flow's paths end."""
    return Residual(paths, "terminal", penalty)


def PathCostate(paths: Paths = _FRESH) -> Residual:
    """E |grad U(T, x(T)) - grad dM/drho(x(T))|^2, for a terminal cost that is linear.

    It ties the potential to M where a constant of dM/drho means nothing, such as that of a critic.
    """
    return Residual(paths, "terminal_gradient")


def DissipationHJB(penalty: AbstractPenalty = _ABSOLUTE, windows: Windows = _WINDOWS) -> Residual:
    """HJB residual and terminal condition of a discounted game, in units of dF/drho."""
    return Residual(windows, ("hjb", "terminal"), penalty)


def Martingale(
    method: EulerMaruyama | StochasticHeun = _EULER,
    measure: Literal["mean_square", "variance"] = "mean_square",
    starts: Literal["initial", "batch"] = "initial",
    density: Literal["followed", "kernel"] = "followed",
) -> Residual:
    """E R^2, or the variance of R, along noisy paths (`mfgen.losses._martingale`)."""
    if measure not in ("mean_square", "variance"):
        raise ValueError(
            f'`Martingale` got measure = {measure!r}, expected "mean_square" or "variance": pass '
            '"variance" to leave U free up to a number.'
        )
    at = OwnPaths(method, starts, density)
    return Residual(at, "martingale", Squared() if measure == "mean_square" else Variance())


def _check_collocation(owner: str, collocation: object) -> None:
    fix = "pass `NoisedData()`"
    _check.of_kind(owner, "collocation", collocation, AbstractCollocation, fix)
