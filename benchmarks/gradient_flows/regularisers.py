"""What the HJB residual costs and brings in every family: each recipe beside itself without it.

    python -m benchmarks.gradient_flows.regularisers            # prints the table
    python -m benchmarks.gradient_flows.regularisers --quick    # one seed, a few steps

The same seeds, steps and settings; 8 Gaussians on a circle. KL(truth || model) by the probability
flow; the residual left over is in the units of each game, so that it compares within a row alone.
The cost is the processor time of a loss and its gradient over that without the residual, in turns.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.tables import table
from benchmarks.harness.timing import ratio, take_turns, timed
from mfgen.lab import Experiment, RunFolder, _recipes, assemble, run
from mfgen.lab._comparison import RESIDUALS

SEEDS = (0, 1, 2)
KEPT = Path(__file__).parents[2] / "runs" / "gradient_flows" / "regularisers"


class Family(NamedTuple):
    """A recipe with a residual: in words which and where, for how many steps, what is measured."""

    residual: str
    where: str
    steps: int
    left: str
    path: str | None


_FLOW = "E int abs(-dU/dt + H(grad U)) dt"
FAMILIES = {
    "score-vp-hjb": Family(
        "E R², per unit of log noise", "noised data, all levels", 2000, "hjb_residual", None
    ),
    "ot-flow": Family(_FLOW, "paths of the data", 800, "path_residual", "transport_cost"),
    "jko": Family(_FLOW, "paths of each block", 1200, "path_residual", "transport_cost"),
    "discounted-flow": Family(
        "E abs(e R) + E abs(U(T) - dM/drho)",
        "paths from the reference, with log rho",
        1000,
        "path_residual",
        "transport_cost",
    ),
    "w1w2-flow": Family(_FLOW, "paths from the reference", 600, "path_residual", "transport_cost"),
}


def regularisers(quick: bool) -> str:
    """The table of all families, means and deviations over the seeds."""
    rows = []
    for recipe, family in FAMILIES.items():
        pair = {kind: _runs(recipe, family, kind, quick) for kind in ("without", "with")}
        cost = _cost(recipe, family, quick)
        names = ("kl", family.left, family.path)
        told = [
            ", ".join(_told(pair[kind], name) for kind in ("without", "with")) for name in names
        ]
        rows.append([recipe, family.residual, family.where, f"{cost:.2f}", *told])
        print(f"  {rows[-1]}", flush=True)
    head = [
        "recipe",
        "residual",
        "where",
        "cost of a loss",
        "KL without, with",
        "residual without, with",
        "transport cost without, with",
    ]
    return table(head, rows)


def _cost(recipe: str, family: Family, quick: bool) -> float:
    """The time of a loss and its gradient with the residual over that without, in turns."""
    measures = {}
    for kind in ("without", "with"):
        case = assemble(_experiment(recipe, family, kind, 0, quick))
        moving, fixed = eqx.partition(case.model, eqx.is_inexact_array)
        batch = jnp.asarray(case.samples.train[:256])

        def loss(moving, batch, case=case, fixed=fixed):
            model = eqx.combine(moving, fixed)
            return case.objective.evaluate(case.game, model, batch, key=jax.random.key(0)).total

        gradient = jax.jit(jax.grad(loss))

        def steps(count: int, gradient=gradient, moving=moving, batch=batch) -> None:
            for _ in range(count):
                jax.block_until_ready(gradient(moving, batch))

        measures[kind] = timed(steps, seconds=0.1 if quick else 0.5)
    samples = take_turns(measures, rounds=2 if quick else 9)
    return ratio(samples["with"], samples["without"]).middle


def _runs(recipe: str, family: Family, kind: str, quick: bool) -> list[dict]:
    summaries = []
    for seed in SEEDS[:1] if quick else SEEDS:
        folder = RunFolder(KEPT / f"{'quick-' if quick else ''}{recipe}-{kind}-{seed}")
        if not folder.is_finished:
            print(f"  {recipe} {kind}, seed {seed}", flush=True)
            run(_experiment(recipe, family, kind, seed, quick), folder.path, resume=True)
        summaries.append(folder.summary())
    return summaries


def _experiment(recipe: str, family: Family, kind: str, seed: int, quick: bool) -> Experiment:
    made = _recipes.experiment(recipe)
    terms = made.document["objective"]
    if kind == "without":
        terms = [term for term in terms if term["type"] not in RESIDUALS]
    steps = 12 if quick else family.steps
    return made.changed(
        {
            "seed": seed,
            "objective": terms,
            "training.steps": steps,
            "training.every": max(steps // 10, 1),
            "evaluation.metrics": ["kl", family.left, "transport_cost"],
            "evaluation.figures": False,
        }
    )


def _told(summaries: list[dict], name: str | None) -> str:
    if name is None:
        return "-"
    values = [summary["metrics"][name]["value"] for summary in summaries]
    spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread}"


if __name__ == "__main__":
    print(regularisers("--quick" in sys.argv))
