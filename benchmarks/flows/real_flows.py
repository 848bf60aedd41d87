"""Flows on real data: log-likelihood of held-out rows, in nats and original units.

Every run is that of `mfgen run RECIPE --data DATA`, with early stopping, on a split of its own; it
is kept in runs/flows and not run again. A Gaussian mixture by EM stands beside them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness.tables import table
from mfgen.lab import Experiment, RunFolder, run
from mfgen.lab import _recipes as recipes

KEPT = Path(__file__).parents[2] / "runs" / "flows"
RECIPES = ("score-gmm", "cnf", "potential-flow", "ot-flow", "flow-matching")
SMALL = ("iris", "wine", "diabetes", "breast-cancer")
SEEDS = (0, 1, 2)
LARGE = ("score-gmm", "cnf", "ot-flow", "flow-matching")  # on large data, with two seeds
_METRICS = ["log_likelihood", "inverse_error", "transport_cost"]


class Setting(NamedTuple):
    """Data, with what differs from a recipe's own settings."""

    name: str
    data: dict[str, Any]
    steps: int
    width: int = 32
    recipes: tuple[str, ...] = RECIPES
    seeds: tuple[int, ...] = SEEDS


def settings(protein: str | None, quick: bool) -> list[Setting]:
    """Small tables, digits, and the protein table where its file is given."""
    small = [Setting(name, {"name": name, "split": 0}, 500) for name in SMALL]
    if quick:
        return [setting._replace(steps=40) for setting in small[:1]]
    digits = Setting("digits", {"name": "digits", "split": 0}, 500, 64, LARGE, SEEDS[:2])
    found = [*small, digits]
    if protein is not None:
        held = {"name": "table", "path": protein, "split": 0}
        found.append(Setting("protein", held, 1500, 64, LARGE, SEEDS[:2]))
    return found


def runs(protein: str | None, quick: bool) -> Iterator[tuple[str, str, int, dict[str, float]]]:
    """Setting, recipe, seed, and the measures of every run."""
    for setting in settings(protein, quick):
        for recipe in setting.recipes:
            for seed in setting.seeds[:1] if quick else setting.seeds:
                made = _experiment(setting, recipe, seed)
                root = KEPT / ("quick" if quick else "real")
                folder = RunFolder(root / f"{setting.name}-{recipe}-{seed}")
                if not folder.is_finished:
                    print(f"training {recipe} on {setting.name}, seed {seed}", flush=True)
                    run(made, folder.path, resume=True)
                measures = folder.summary()["metrics"]
                yield (
                    setting.name,
                    recipe,
                    seed,
                    {name: kept["value"] for name, kept in measures.items()},
                )


def real(protein: str | None, quick: bool) -> str:
    """The table of all settings and recipes, means and deviations over seeds."""
    found: dict[tuple[str, str], list[float]] = {}
    for setting, recipe, _, measures in runs(protein, quick):
        found.setdefault((setting, recipe), []).append(measures["log_likelihood"])
    names = list(dict.fromkeys(setting for setting, _ in found))
    rows = [[name, *(_told(found.get((name, recipe), [])) for recipe in RECIPES)] for name in names]
    return table(["data", *RECIPES], rows)


def _experiment(setting: Setting, recipe: str, seed: int) -> Experiment:
    made = recipes.experiment(recipe, "gaussians8")
    steps = made.training.steps and setting.steps * (4 if recipe == "flow-matching" else 1)
    potential = made.document["model"]["type"] == "ot_flow_potential"
    return made.changed(
        {
            "seed": seed,
            "data": setting.data | {"split": seed},
            **({"model.width": setting.width} if potential else {}),
            "training.steps": steps,
            "training.early_stopping": True,
            "training.every": max(steps // 40, 1),
            "evaluation.metrics": _METRICS,
            "evaluation.figures": False,
        }
    )


def _told(values: list[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
