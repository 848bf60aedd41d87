"""Boltzmann generators: flows trained by an energy alone, judged by importance weights.

Every run is that of `mfgen run boltzmann --data DATA`; it is kept in runs/flows and not run again.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.flows.real_flows import KEPT, SEEDS
from benchmarks.harness.tables import table
from mfgen.lab import RunFolder, _recipes, run


class Target(NamedTuple):
    """An energy: a data set of `mfgen list`, its dimension and log Z, with where that is from."""

    data: str
    dim: int | None
    known: str


TARGETS = (
    Target("double-well", None, "0 (normalised by quadrature)"),
    Target("many-wells", 4, "0 (normalised by quadrature)"),
    Target("breast-cancer-posterior", None, "-44.97 ± .01 (importance weights of a longer run)"),
)
_METRICS = ["effective_samples", "normaliser", "transport_cost"]


def energies(quick: bool) -> str:
    """The table of effective samples and log Z, mean and deviation over seeds."""
    rows = []
    for target in TARGETS[:1] if quick else TARGETS:
        found = [_measures(target, seed, quick) for seed in (SEEDS[:2] if quick else SEEDS)]
        columns = [
            f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
            for name in ("effective_samples", "normaliser")
            for values in [[measures[name] for measures in found]]
        ]
        rows.append([target.data, *columns, target.known])
    return table(["energy", "effective samples", "log Z", "log Z known"], rows)


def _measures(target: Target, seed: int, quick: bool) -> dict[str, float]:
    made = _recipes.experiment("boltzmann", target.data)
    judged = {"metrics": _METRICS, "figures": False, "samples": 4000}
    made = made.changed(
        {
            "seed": seed,
            "evaluation": judged,
            **({"training.steps": 30} if quick else {}),
            **({"data.dim": target.dim} if target.dim else {}),
        }
    )
    folder = RunFolder(KEPT / ("quick" if quick else "energies") / f"{target.data}-{seed}")
    if not folder.is_finished:
        print(f"training boltzmann on {target.data}, seed {seed}", flush=True)
        run(made, folder.path, resume=True)
    return {name: kept["value"] for name, kept in folder.summary()["metrics"].items()}
