"""Whether a sum of losses is the game's: nothing left out, paid twice or contradicted.

    sum_k weight_k loss_k  =  c J + regularisers,      J = int e^{-r t} (E L + I) dt + e^{-r T} M

The sum is compared with the game before the first step of a training, by what each loss states
(`mfgen.losses._payment`):

- a loss that trains the whole game stands alone beside regularisers, or beside others of its kind;
- losses made of parts of J must pay for every part that the game has, and for all of them at one
  rate c: the ratio of their weights is that in the game;
- without either, the residuals of the HJB equation and of its terminal condition will do.

A loss of one's own that states nothing is taken at its word: then nothing is compared.
"""

from collections.abc import Mapping

from mfgen.densities._labels import Labelled, LabelledPoints
from mfgen.functionals._functional import AbstractFunctional
from mfgen.functionals._lipschitz import duals
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractObjective, Combination
from mfgen.losses._payment import kinetic_weight, name_of, remedy

_CLOSE = 1e-3  # relative; weights are written in few digits


def check_coverage(game: MFG, objective: AbstractObjective, dim: int) -> None:
    """Refuses an objective that is not the game's own.

    Arguments:
        game: the game.
        objective: the weighted losses.
        dim: the dimension of the data.

    Raises:
        ValueError, TypeError: naming the part of the game that is left out, paid twice or
            contradicted, and what would pay for it.
    """
    combined = objective if isinstance(objective, Combination) else 1.0 * objective
    _check_domain(game, combined)
    combined.check(game)
    _check_labels(game)
    _check_critic(game)
    named = {
        name: (float(weight), part.pays(game))
        for name, (weight, part) in zip(combined.names, combined.parts, strict=True)
        if weight
    }
    stated = {name: (weight, pays) for name, (weight, pays) in named.items() if pays is not None}
    if len(stated) < len(named):
        return
    whole = [name for name, (_, pays) in stated.items() if pays.whole]
    costs = {
        name: {part: weight * share for part, share in pays.shares.items()}
        for name, (weight, pays) in stated.items()
        if any(pays.shares.values())
    }
    if whole and costs:
        raise ValueError(
            f"`fit` got `{whole[0]}`, which trains the whole game, beside `{next(iter(costs))}`, "
            "which pays for a part of it once more: leave one of them out."
        )
    if whole:
        return
    needed = _parts(game, dim)
    if costs:
        _check_shares(game, costs, needed)
        return
    asked = frozenset().union(*(pays.equations for _, pays in stated.values()))
    if asked >= {"hjb", "terminal"}:
        return
    part = "terminal" if "hjb" in asked or "lagrangian" not in needed else "lagrangian"
    raise ValueError(
        f"`fit` got {_listed(stated)}, expected an objective that pays for the game: nothing in it "
        f"asks for {_described(part, game)}; {_payer(part, game)}."
    )


def _parts(game: MFG, dim: int) -> frozenset[str]:
    """The parts of J that the game has."""
    found = {
        "lagrangian": kinetic_weight(game, dim) != 0,
        "interaction": not game.interaction.vanishes,
        "terminal": not game.terminal.vanishes,
    }
    return frozenset(part for part, there in found.items() if there)


def _check_shares(
    game: MFG, costs: Mapping[str, Mapping[str, float]], needed: frozenset[str]
) -> None:
    total = {part: sum(cost[part] for cost in costs.values()) for part in sorted(needed)}
    for part, share in total.items():
        if not share:
            raise ValueError(
                f"`fit` got {_listed(costs)}, expected an objective that pays for all of the game: "
                f"{_described(part, game)} is left out; {_payer(part, game)}."
            )
    if len(total) < 2:
        return
    # The terminal cost is what the others are measured by.
    base = "terminal" if "terminal" in total else "lagrangian"
    for part, share in total.items():
        if part == base or abs(share - total[base]) <= _CLOSE * abs(share):
            continue
        payers = {p: [name for name, cost in costs.items() if cost[p]] for p in (part, base)}
        twice = [f"`{'` and `'.join(names)}`" for names in payers.values() if len(names) > 1]
        also = f" ({twice[0]} pay for the same part)" if twice else ""
        raise ValueError(
            f"`fit` got {_listed(costs)}{also}, expected weights in the ratio of the game: they "
            f"count {_described(base, game)} {total[base] / share:.4g} times as much beside "
            f"{_described(part, game)} as the game does; divide the weight of "
            f"`{payers[base][0]}` by that, or declare the game with the other weight."
        )


def _check_domain(game: MFG, combined: Combination) -> None:
    for name, (_, part) in zip(combined.names, combined.parts, strict=True):
        shared = part.bundle()
        if game.domain.bounded and (part.euclidean or (shared is not None and shared.euclidean)):
            raise TypeError(
                f"`fit` got `{name}` for a game on {game.domain}, expected a loss whose paths stay "
                "there: this one goes straight from point to point; train by `GameCost()`, with "
                "`MMD` or `SinkhornDivergence` to the data as the terminal cost."
            )


def _check_labels(game: MFG) -> None:
    parts = (("initial", game.initial), ("terminal", game.terminal.goal))
    for name, density in parts:
        if isinstance(density, (LabelledPoints, Labelled)) and not game.dynamics.fixed:
            raise TypeError(
                f"`fit` got a game whose {name} density has labels (`{type(density).__name__}`) "
                f"and whose dynamics `{type(game.dynamics).__name__}` move them like points, "
                "expected labels at rest: build the game by a function of the zoo such as "
                "`flow_game`, or take the points alone, `Empirical(points)`."
            )


def _check_critic(game: MFG) -> None:
    for name, cost in (("terminal", game.terminal), ("interaction", game.interaction)):
        if duals(cost):
            raise TypeError(
                f"`fit` got a game with the {name} cost `{name_of(cost)}`, whose critic it would "
                "leave as it is: train flow and critic in turn, `run(Alternating(Ascent(), "
                "Gradient(model, objective)), Problem(game), ...)`, or, if the critic is to stay, "
                "declare the linear cost `Linear(critic)`."
            )


def _listed(names: Mapping[str, object]) -> str:
    return " + ".join(f"`{name}`" for name in names) or "no loss"


def _described(part: str, game: MFG) -> str:
    words = {
        "lagrangian": "the Lagrangian",
        "interaction": "the interaction",
        "terminal": "the terminal cost",
    }
    return f"{words[part]} `{name_of(getattr(game, part))}`"


def _payer(part: str, game: MFG) -> str:
    """Advice for a part of the cost that no loss contains."""
    solvers = "train by `GameCost()`, or solve the game by `Neural()` or `Grid(box)`"
    if not game.dynamics.deterministic:
        return solvers
    if part == "lagrangian":
        return "add `TransportCost()`, or declare `NoCost()`"
    if part == "interaction":
        return solvers if not game.discount else f"train by `WeightedDissipation()`, or {solvers}"
    return _end_payer(game, solvers)


def _end_payer(game: MFG, solvers: str) -> str:
    terminal: AbstractFunctional = game.terminal
    if terminal.constrains:
        return remedy(terminal)
    if game.data_at == "start":
        return "add `weight * PathLikelihood()`, weight being that of `KL` in the game"
    return (
        "add `weight * ReverseKL()` if it is `weight * KL(goal)`, `PathCost()` if it is linear in "
        f"the density, and else {solvers}"
    )
