"""Normalizing flows in the time of a regularised potential: a flow of mfgen and one of a peer.

    python -m benchmarks.hjb.flows --seeds 3     # docs/results/hjb-flows.md

For each target and seed a regularised potential is trained as in the study `density`, 3,000 steps.
The seconds of its steps are then given to

    ot-flow     the recipe of that name: a continuous flow by maximum likelihood
    flowjax     a coupling flow of flowjax: 8 layers of rational quadratic splines, Adam

both on the same data in the same units. KL(truth || density) is by points of the truth, the same
for all; that of the potential is of exp(-U) / Z in one evaluation.

References: D. Onken et al. (2021), arXiv 2006.00104 (OT-Flow); C. Durkan et al. (2019), arXiv
1906.04032 (splines); D. Ward, flowjax.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow
from jaxtyping import Array, Float

from benchmarks.harness.tables import table
from benchmarks.harness.threads import one_thread
from benchmarks.hjb.cost import STEPS
from benchmarks.hjb.density import regularised
from mfgen.lab import Experiment, _recipes, run
from mfgen.zoo._samples import Samples

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results" / "hjb-flows.md"
SETTINGS = ("8 Gaussians", "mixture A", "checkerboard", "mixture, d = 8")
_POINTS, _BATCH, _RATE, _TRIAL = 8000, 256, 1e-3, 100
_METHODS = ("hjb", "ot-flow", "flowjax")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", nargs="*", default=SETTINGS)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "hjb-flows")
    options = parser.parse_args()
    one_thread()
    for setting in options.targets:
        for seed in range(options.seeds):
            kept = options.runs / f"{setting.replace(', ', '-').replace(' ', '')}-{seed}"
            if not (kept / "found.json").is_file():
                found = _measured(setting, seed, kept)
                (kept / "found.json").write_text(json.dumps(found))
            print(setting, seed, (kept / "found.json").read_text(), flush=True)
    PAGE.write_text(_page(options.runs))


def _measured(setting: str, seed: int, folder: Path) -> dict[str, Any]:
    """The divergences of all methods, and the seconds that each was trained."""
    made = regularised(setting).changed({"seed": seed})
    trained = run(made, folder / "hjb", resume=True)
    metrics, rate = trained.summary["metrics"], trained.summary["ms_per_step"]
    seconds = STEPS * rate / 1e3
    samples = trained.case.samples
    found = {"hjb": [metrics.get("one_evaluation_kl", {}).get("value"), seconds]}
    found["ot-flow"] = _ot_flow(made, seed, seconds, folder)
    found["flowjax"] = _coupling(samples, seed, seconds)
    return found


def _ot_flow(made: Experiment, seed: int, seconds: float, folder: Path) -> list[float | None]:
    """The recipe, for as many steps as fit by the time of some."""
    judged = {"metrics": ["kl"], "points": made.filled["evaluation"]["points"], "figures": False}

    def trained(steps: int, name: str) -> dict[str, Any]:
        changes = {"seed": seed, "data": made.document["data"], "evaluation": judged}
        experiment = _recipes.experiment("ot-flow").changed(changes | {"training.steps": steps})
        return run(experiment, folder / name, resume=True).summary

    rate = trained(_TRIAL, "trial")["ms_per_step"]
    summary = trained(max(_TRIAL, round(1e3 * seconds / rate)), "ot-flow")
    value = summary["metrics"].get("kl", {}).get("value")
    return [value, summary["steps"] * summary["ms_per_step"] / 1e3]


def _coupling(samples: Samples, seed: int, seconds: float) -> list[float | None]:
    """A coupling flow of splines by maximum likelihood; compilation is not counted."""
    assert samples.truth is not None
    key, truth = jax.random.key(seed), samples.truth
    data = jnp.asarray(samples.train)
    dim, count = data.shape[1], 100
    flow = coupling_flow(
        key,
        base_dist=Normal(jnp.zeros(dim)),
        transformer=RationalQuadraticSpline(knots=8, interval=4),
        flow_layers=8,
    )
    fixed = lambda leaf: isinstance(leaf, paramax.NonTrainable)
    parameters, static = eqx.partition(flow, eqx.is_inexact_array, is_leaf=fixed)
    optimiser = optax.adam(_RATE)

    def loss(parameters: Any, batch: Float[Array, "n dim"]) -> Array:
        return -paramax.unwrap(eqx.combine(parameters, static)).log_prob(batch).mean()

    @eqx.filter_jit
    def steps(parameters: Any, state: Any, key: Array) -> tuple[Any, Any]:
        def step(carried: tuple, key: Array) -> tuple[tuple, None]:
            parameters, state = carried
            batch = data[jax.random.randint(key, (_BATCH,), 0, len(data))]
            updates, state = optimiser.update(jax.grad(loss)(parameters, batch), state)
            return (eqx.apply_updates(parameters, updates), state), None

        return jax.lax.scan(step, (parameters, state), jax.random.split(key, count))[0]

    state = optimiser.init(parameters)
    jax.block_until_ready(steps(parameters, state, key))
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        number += 1
        parameters, state = steps(parameters, state, jax.random.fold_in(key, number))
        jax.block_until_ready(parameters)
    spent = time.perf_counter() - began
    points = truth.sample(_POINTS, key=jax.random.key(1000 + seed))
    model = paramax.unwrap(eqx.combine(parameters, static))
    logs = eqx.filter_jit(model.log_prob)(points)
    return [float(jnp.mean(jax.vmap(truth.log_density)(points) - logs)), spent]


def _page(runs: Path) -> str:
    lines = []
    for setting in SETTINGS:
        stem = setting.replace(", ", "-").replace(" ", "")
        found = [json.loads(p.read_text()) for p in sorted(runs.glob(f"{stem}-*/found.json"))]
        if found:
            cells = [_cell([one[name][0] for one in found]) for name in _METHODS]
            spent = [np.mean([one[name][1] for one in found]) for name in _METHODS]
            told = " / ".join(f"{value:.0f}" for value in spent)
            lines.append([setting, str(len(found)), *cells, told])
    head = ["", "seeds", "potential with HJB, one evaluation", "ot-flow", "flowjax", "seconds"]
    return f"""\
# A regularised potential beside normalizing flows

Written by `python -m benchmarks.hjb.flows` (flowjax is among the packages of `[bench]`).
KL(truth || density) in nats, means over seeds ± one standard deviation. Each flow is trained for as
long as the {STEPS:,} steps of the potential took on the same machine, one thread, compilation not
counted; the last column has the seconds of all three. `ot-flow`: the recipe. `flowjax`: a coupling
flow, 8 layers of rational quadratic splines, Adam at {_RATE:g}, batches of {_BATCH}.

{table(head, lines)}"""


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "refused"
    spread = f" ± {np.std(known, ddof=1):.2g}" if len(known) > 1 else ""
    left_out = f" ({len(values) - len(known)} refused)" if len(known) < len(values) else ""
    return f"{np.mean(known):.3g}{spread}{left_out}"


if __name__ == "__main__":
    main()
