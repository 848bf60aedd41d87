"""Parts of a specification that do not fit each other, refused before anything is made of them."""

from typing import Any

from mfgen.lab import spec_flow, spec_particles
from mfgen.lab.catalogue import ENERGIES
from mfgen.lab.spec_terms import ImportedObjective

_OF_ENERGIES = spec_flow.EnergyGame | spec_particles.ByDensity | spec_particles.Discounted


_OF_WINDOWS = spec_particles.WeightedDissipation | spec_particles.DissipationHJB


def check_energy(data: Any, game: Any, objective: tuple[Any, ...]) -> None:
    """Refuses energies in games of samples, and terms of samples in games of energies."""
    imported = getattr(game, "energy", None)
    if (data.name == "energy") != (imported is not None):
        raise ValueError(
            f"`game` got {'an' if imported else 'no'} `energy` with the data {data.name!r}, "
            "expected one with the data 'energy' and with no others: "
            + ("set `name` of [data] to it." if imported else "name one, or other data.")
        )
    if data.name not in ENERGIES:
        return
    if not isinstance(game, _OF_ENERGIES):
        raise ValueError(
            f"`data` got {data.name!r}, an energy without samples, expected data that can be "
            "sampled: take another data set, or the recipe boltzmann."
        )
    for term in objective:
        if isinstance(term, _OF_WINDOWS):
            continue
        paths = getattr(term, "paths", None)
        if not isinstance(term, ImportedObjective) and (paths is None or paths.starts == "batch"):
            raise ValueError(
                f"`objective` got a term `{type(term).__name__}` of samples with the data "
                f"{data.name!r}, which have none, expected paths from the initial density: give it "
                '`paths = { starts = "initial" }`, or take the terms of the recipe boltzmann.'
            )


def check_particles(game: Any, model: Any, objective: tuple[Any, ...]) -> None:
    """Refuses particles without a flow, a flow without particles, and terms with either."""
    flows, cloud = isinstance(game, spec_particles.Flow), isinstance(model, spec_particles.Model)
    if flows != cloud:
        raise ValueError(
            f"`model` got `{type(model).__name__}` with a game `{type(game).__name__}`, expected "
            "a model of type particles with a flow of particles, and with no other game: see "
            "`mfgen show langevin`."
        )
    if cloud and objective:
        raise ValueError(
            f"`objective` got {len(objective)} terms with particles, expected none, for they go "
            "down what the game says: write `objective = []`."
        )
    if not cloud and not objective:
        raise ValueError(
            "`$.objective` got [], expected `array` of length >= 1: add a table [[objective]]."
        )


def check_movement(game: Any, model: Any, steps: int) -> None:
    """Refuses minimising movements of other networks, or with fewer steps than blocks."""
    if not isinstance(game, spec_particles.Movement):
        return
    if not isinstance(model, spec_flow.OTFlowModel):
        raise ValueError(
            f"`model` got `{type(model).__name__}` with a game of type jko, expected one of type "
            'ot-flow: write `[model]` with `type = "ot-flow"`.'
        )
    if steps < game.blocks:
        raise ValueError(
            f"`training` got steps = {steps} for {game.blocks} blocks, expected at least one for "
            "each: train longer, or take fewer blocks."
        )
