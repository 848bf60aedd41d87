"""Games that no recipe has, each declared in a few lines and trained: docs/results/inventions.md.

python -m benchmarks.inventions                   # all rows, with five seeds where they are short
python -m benchmarks.inventions --only mmd w1w2   # these rows anew
python -m benchmarks.inventions --seeds 1 --steps 50 --show   # short, printed only

What is measured is kept in docs/results/inventions, a file for a row, and the page is written from
it: a measurement that was stopped goes on where it was. Rows are trained by `mg.train`, sampled,
and certified.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import mfgen as mg
from benchmarks.inventions.games import ROWS, Row
from benchmarks.inventions.measures import MEASURES
from mfgen.metrics import energy_distance

REPORT = Path(__file__).parents[2] / "docs" / "results" / "inventions.md"
KEPT = REPORT.with_suffix("")
SAMPLES = 4000
LONG = 90.0  # seconds of training from which on a row has one seed
HEAD = f"""# Games that no recipe has

Written by `make bench-inventions`. Each game is declared in at most twelve lines
(`benchmarks/inventions/games.py`) and trained by `mg.train(game)`, by the way that its plan takes
first. ED is the energy distance of {SAMPLES} samples to as many fresh points of the data's law, its
error the deviation over the seeds, as many as the row says; seconds are of the processor, with
compilation. The certificate is that of the first seed; that of a flow from samples is taken of the
flow from their law, whose density is known. Rows that were measured before certificates told the
noise of a sampled crowd have none.

| # | game | way | steps | seeds | ED | bound | | also | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def measured(row: Row, name: str, seed: int, steps: int | None) -> dict[str, Any]:
    """Trains a row once, and measures what came out."""
    began, game, key = time.process_time(), row.game(), jax.random.key(seed)
    plan = mg.plan(game)
    options: dict[str, Any] = {**row.options, **({} if steps is None else {"steps": steps})}
    run = mg.train(game, key=key, **options)
    seconds = time.process_time() - began
    found: dict[str, Any] = {
        "way": options.get("way", plan.fitting[0]),
        "steps": run.history.records[-1].step,
        "seconds": seconds,
        "result": run.solution.result.message,
    }
    sample_key, fresh_key, measure_key = jax.random.split(jax.random.fold_in(key, 1), 3)
    if row.fresh is not None:
        x = run.solution.sample(SAMPLES, key=sample_key)[:, : row.fresh.dim]
        fresh = row.fresh.sample(SAMPLES, key=fresh_key)
        found["ed"] = float(energy_distance(x, fresh).value)
    if name in MEASURES:
        found["also"] = MEASURES[name](run.solution, measure_key)
    if seed == 0:
        certificate = mg.certify(of_the_law(run.solution, row, measure_key), key=measure_key)
        found["verdict"] = certificate.verdict
    return found


def of_the_law(solution: mg.Solution, row: Row, key: jax.Array) -> mg.Solution:
    """A flow from samples as one from their law, where that is known: log rho(T) is then exact."""
    game = solution.game
    if row.fresh is None or game.data_at != "start" or not game.dynamics.deterministic:
        return solution
    return mg.solution(dataclasses.replace(game, initial=row.fresh), solution.model, key=key)


def known(name: str) -> dict[str, dict[str, Any]]:
    """What is kept of a row, by seed."""
    file = KEPT / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def kept(name: str, seed: int, steps: int | None, anew: bool) -> dict[str, Any]:
    """The measurement of a seed, from the row's file if it is there."""
    seeds = known(name)
    if str(seed) in seeds and not anew and steps is None:
        return seeds[str(seed)]
    found = measured(ROWS[name], name, seed, steps)
    if steps is None:
        seeds = known(name) | {str(seed): found}
        (KEPT / f"{name}.json").write_text(json.dumps(seeds, indent=1))
    return found


def line(row: Row, runs: list[dict[str, Any]]) -> str:
    """A row of the table."""
    distances = [run["ed"] for run in runs if "ed" in run]
    said, verdict = "", ""
    if distances:
        mean = float(np.mean(distances))
        spread = f" ± {np.std(distances, ddof=1):.4f}" if len(distances) > 1 else ""
        said = f"{mean:.4f}{spread}"
        if row.bound is not None:
            verdict = "met" if mean <= row.bound else "not met"
    also: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.get("also", {}).items():
            also.setdefault(name, []).append(value)
    shown = "; ".join(
        f"{name} {np.mean(values):.4g}"
        + (f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else "")
        for name, values in also.items()
    )
    seconds = f"{np.median([run['seconds'] for run in runs]):.0f}"
    bound = "" if row.bound is None else f"{row.bound:g}"
    cells = (row.number, row.title, runs[0]["way"], runs[0]["steps"], len(runs), said, bound)
    return f"| {' | '.join(map(str, (*cells, verdict, shown, seconds)))} |"


def page(names: list[str], seeds: int) -> str:
    """The page of what is kept."""
    text, tail, missing = HEAD, "\n## Certificates\n", []
    for name in names:
        measurements = known(name)
        runs = [measurements[str(seed)] for seed in range(seeds) if str(seed) in measurements]
        if not runs:
            missing.append(ROWS[name].title)
            continue
        text += line(ROWS[name], runs) + "\n"
        if "verdict" in runs[0]:
            tail += f"\n**{ROWS[name].title}.** {runs[0]['verdict']}\n"
    if missing:
        text += f"\nNot measured yet: {'; '.join(missing)}.\n"
    return text + tail


def main() -> None:
    parser = argparse.ArgumentParser(description="Games that no recipe has, trained.")
    parser.add_argument("--only", nargs="*", choices=ROWS, help="rows to measure anew")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of a training; nothing is kept")
    parser.add_argument("--show", action="store_true", help="print what is measured")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in options.only or ROWS:
        for seed in range(options.seeds):
            found = kept(name, seed, options.steps, options.only is not None)
            if options.show:
                print(name, seed, json.dumps(found, indent=1), flush=True)
            if found["seconds"] > LONG:
                break
    if options.steps is None:
        REPORT.write_text(page(list(ROWS), options.seeds))
        print(REPORT)


if __name__ == "__main__":
    main()
