"""Speed of mfgen beside plain torch, folx and the libraries it stands on.

Four parts: a step on an exact Hamilton-Jacobi-Bellman residual, a step of denoising score matching,
what the regulariser adds to a training step, and the time of the import. Contenders that claim to
compute the same are compared first, and the run fails if they do not agree. See `timing` for how
time is taken and `report` for how targets are judged.

    python -m benchmarks.speed           # writes docs/results/speed.md, minutes
    python -m benchmarks.speed --quick   # few rounds, printed only
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

import mfgen as mg
from benchmarks.harness.report import Claim, Race, Section, render
from benchmarks.harness.threads import THREADS
from benchmarks.harness.timing import Measure, Steps, take_turns, timed
from benchmarks.speed import residual, startup, training

REPORT = Path(__file__).parents[2] / "docs" / "results" / "speed.md"
DIMENSIONS = (2, 10, 50)
NOISINGS = {"VE": mg.dynamics.VE(), "VP": mg.VP()}


class Effort:
    """How long is measured: the number of rounds, and the seconds of one sample."""

    def __init__(self, *, quick: bool):
        self.rounds = 5 if quick else 21
        self.seconds = 0.1 if quick else 0.3

    def steps(self, setting: str, contenders: Mapping[str, Steps], *claims: Claim) -> Race:
        measures = {name: timed(steps, seconds=self.seconds) for name, steps in contenders.items()}
        return self.race(setting, measures, *claims)

    def race(self, setting: str, measures: Mapping[str, Measure], *claims: Claim) -> Race:
        print(f"timing {', '.join(measures)} ({setting})", flush=True)
        return Race(setting, take_turns(measures, rounds=self.rounds), claims)


def exact_residual(effort: Effort) -> Section:
    """The step on an exact residual, by dimension."""
    claims = Claim("torch", "mfgen", 2.0, True), Claim("folx", "mfgen", 1.5, True)
    return Section(
        "A step on an exact Hamilton-Jacobi-Bellman residual",
        "Mean square of dt u - |grad u|^2 / 2 + lap u / 2, its gradient in the parameters, Adam, "
        f"and drawing of the points; u a network of 3 hidden tanh layers of {residual.WIDTH}, "
        f"{residual.BATCH} points, single precision. torch takes second derivatives coordinate by "
        "coordinate; folx maps its forward Laplacian over the whole batch; mfgen takes `mg.hjb` by "
        "`chunked_mean`. Loss and weight gradient of the three agree to "
        f"{residual.TOLERANCE:g} on the same weights and points.",
        "dimension",
        [effort.steps(f"{dim}", residual.contenders(dim), *claims) for dim in DIMENSIONS],
    )


def score_matching(effort: Effort, batch: int = 1024) -> Section:
    """The step of denoising score matching."""
    return Section(
        "A step of denoising score matching",
        f"A score network of 3 x 128 on 8 Gaussians, batch {batch}: the loop of `mg.fit` and the "
        "same step in plain torch, both with Adam and a running average of the parameters. Scores "
        f"and losses of the two agree to {training.TOLERANCE:g} on the same weights and points.",
        "batch",
        [
            effort.steps(
                f"{batch}", training.matching(batch=batch), Claim("mfgen", "torch", 0.75, False)
            )
        ],
    )


def regulariser(effort: Effort, batch: int = 256) -> Section:
    """What the regulariser adds to a training step."""
    return Section(
        "What the regulariser adds to a training step",
        f"`DenoisingScoreMatching() + 0.3 * HJB()` (64 points of a batch of {batch}, exact) "
        "beside `DenoisingScoreMatching()`, for the same `score_potential` on 8 Gaussians, both in "
        "the loop of `mg.fit`.",
        "noising",
        [
            effort.steps(
                name,
                training.regularisation(noising, batch=batch),
                Claim("with", "without", 1.5, False),
            )
            for name, noising in NOISINGS.items()
        ],
    )


def importing(effort: Effort) -> Section:
    """The time of the import."""
    claim = Claim("mfgen", "base", 1.5, False)
    return Section(
        "Import",
        f"`import mfgen` beside `import {', '.join(startup.BASE)}` (base), each in a fresh "
        "interpreter.",
        "",
        [effort.race("import", startup.imports(), claim)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of mfgen, write a report.")
    parser.add_argument("--quick", action="store_true", help="few rounds; print, do not write")
    quick = parser.parse_args().quick
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    effort = Effort(quick=quick)
    parts = (exact_residual, score_matching, regulariser, importing)
    text = render([part(effort) for part in parts], rounds=effort.rounds)
    print(text)
    if not quick:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
