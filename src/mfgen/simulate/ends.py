"""The two ends of a game: where its data are, and the reference at the other.

    data_at = "end"     reference = rho(0), data at T      a sampler runs forward
    data_at = "start"   data = rho(0), reference at T      a sampler runs backward

The reference of a normalizing flow is the density that its terminal cost compares rho(T) with.
"""

from mfgen.density.base import AbstractDensity, AbstractEvaluable
from mfgen.density.labels import Labelled, LabelledPoints
from mfgen.problem.game import MFG


def reference(owner: str, game: MFG) -> AbstractDensity:
    """The density at the end where the data are not.

    Raises:
        ValueError: in the name of `owner`, for a game without a first density.
        TypeError: for a normalizing flow whose terminal cost has no goal, or a game with labels
            whose reference has none.
    """
    density = _other_end(owner, game)
    if game.dynamics.fixed and not isinstance(density, Labelled | LabelledPoints):
        raise TypeError(
            f"`{owner}` got a game with labels whose reference is `{type(density).__name__}`, "
            "expected a law of points beside their labels: pass `Labelled(law, labels)`."
        )
    return density


def evaluable_reference(owner: str, game: MFG) -> AbstractEvaluable:
    """The reference, with a log-density.

    Raises:
        ValueError, TypeError: in the name of `owner`, as `reference`, and without a log-density.
    """
    density = reference(owner, game)
    if not isinstance(density, AbstractEvaluable):
        raise TypeError(
            f"`{owner}` got a game whose reference is `{type(density).__name__}`, expected one "
            "with a known log-density: pass `Gaussian(mean, covariance)`, as `initial` or, for a "
            "flow from data, as the goal of the terminal cost."
        )
    return density


def _other_end(owner: str, game: MFG) -> AbstractDensity:
    if game.data_at == "end":
        if game.initial is None:
            raise ValueError(
                f"`{owner}` got a game without a first density, expected one to start from: pass "
                "initial=... to `MFG`."
            )
        return game.initial
    goal = game.terminal.goal
    if goal is None:
        raise TypeError(
            f"`{owner}` got a flow with the terminal cost `{type(game.terminal).__name__}`, "
            "expected one that names a density, such as `KL(reference)`: it is the law that "
            "samples are carried back from."
        )
    return goal
