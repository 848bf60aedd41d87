"""Few samples: what models of the score learn from them, and whether they copy them.

    python -m benchmarks.gradient_flows.memorisation           # prints the table, writes the figure
    python -m benchmarks.gradient_flows.memorisation --quick   # one seed, few steps, prints only

Of n samples of a mixture of 20 normal laws in the plane, nobody sees more: networks hold a tenth of
them out to stop by, the others cross-validate. Settings of the networks are those of
`benchmarks.hjb.design`, chosen on other targets. The empirical score is the exact score of the
training samples, noised: what denoising score matching tends to if nothing stops it.

Measures: KL(truth || model) at the end of the game, where a noise of .03 deviations is left
(without it that of the empirical law is infinite); the memorisation ratio, and the probability that
a sample is nearer to the training data than a fresh point, `mfgen.metrics._memorisation`. Runs are
kept in runs/memorisation and not done again.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.gradient_flows.known_components import known_components
from benchmarks.gradient_flows.memorisation_figure import draw
from benchmarks.harness.tables import table
from benchmarks.hjb import design
from mfgen.dynamics import TimeReversal
from mfgen.lab import Experiment, RunFolder, assemble, load, run
from mfgen.lab._context import Context
from mfgen.lab._measures import METRICS, measure
from mfgen.metrics import copying_probability, memorisation_ratio
from mfgen.models import AbstractModel, SmoothedPotential

KEPT = Path(__file__).parents[2] / "runs" / "memorisation"
FIGURE = Path(__file__).parents[2] / "docs" / "results" / "memorisation.png"
COUNTS, SHOWN = (50, 100, 200, 500), 200
NETWORKS = ("plain", "hjb", "field")
METHODS = ("empirical", "proximal", "kde", "gmm", "trained", *NETWORKS)
TITLES = {
    "empirical": "empirical score",
    "proximal": "kernel score model",
    "kde": "kernel density estimate",
    "gmm": "mixture by EM",
    "trained": "20 kernels by likelihood, stopped early",
    "plain": "potential network",
    "hjb": "potential network, HJB",
    "field": "score network",
}
STEPS = 1500
_NOTHING = 1e-10  # the variance of a kernel that is an atom to float32


class Found(NamedTuple):
    """The measures of one run and samples of its model, in standard units."""

    kl: float
    ratio: float
    copying: float
    drawn: np.ndarray
    train: np.ndarray


Kept = Mapping[tuple[str, int], list[Found]]


def memorisation(quick: bool) -> str:
    """The table of models and numbers of samples, in Markdown, with what was aimed at below."""
    counts = (100,) if quick else COUNTS
    methods = ("empirical", "proximal", "plain") if quick else METHODS
    found = {
        (method, count): [_found(method, count, seed, quick) for seed in _seeds(method, quick)]
        for count in counts
        for method in methods
    }
    rows = []
    for count in counts:
        for method in methods:
            runs = found[method, count]
            told = (_told([getattr(f, name) for f in runs]) for name in ("kl", "ratio", "copying"))
            rows.append([str(count), TITLES[method], *told])
        if not quick:
            known = [known_components(count, seed) for seed in range(20)]
            rows.append([str(count), "(each sample's component known)", _told(known), "-", "-"])
    text = table(["samples", "model", "KL", "nearest-neighbour ratio", "copying probability"], rows)
    if quick:
        return text
    draw(found, TITLES, COUNTS, SHOWN, FIGURE)
    return f"{text}\n{_judged(found)}\n![{SHOWN} samples]({FIGURE.name})\n"


def experiment(method: str, count: int, seed: int, steps: int = STEPS) -> Experiment:
    """The specification of a method on so many samples."""
    data = {"name": "mixture20", "samples": count}
    names = {"kde": "kernel", "gmm": "mixture", "proximal": "kernel", "empirical": "kernel"}
    made = design.method(names.get(method, method), data, steps=steps, few=count)
    changes: dict[str, object] = {"name": method, "seed": seed, "evaluation.metrics": []}
    if method not in NETWORKS:
        changes["evaluation.likelihood"] = {"type": "OneShot"}
    if method == "proximal":
        changes["model"] = {"type": "proximal_kernel"}
    if method == "trained":  # the best step is one of the first hundred
        changes |= {"training.steps": 300, "training.every": 10}
    return made.changed(changes)


def _seeds(method: str, quick: bool) -> range:
    return range(1 if quick else 5 if method == "proximal" else 3)


def _found(method: str, count: int, seed: int, quick: bool) -> Found:
    root = KEPT / ("quick" if quick else "full") / f"{count}-{method}-{seed}"
    file, arrays = root / "measures.json", root / "points.npz"
    if not file.exists():
        made = experiment(method, count, seed, 100 if quick else STEPS)
        root.mkdir(parents=True, exist_ok=True)
        measures, drawn, train = _measured(made, root / "run")
        np.savez(arrays, drawn=drawn, train=train)
        file.write_text(json.dumps(measures))
    kept = np.load(arrays)
    return Found(**json.loads(file.read_text()), drawn=kept["drawn"], train=kept["train"])


def _measured(made: Experiment, place: Path) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    if made.name == "empirical":
        case = assemble(made)
        model: AbstractModel = _empirical(case.game, case.samples.train)
    else:
        folder = RunFolder(place)
        case = (load(place) if folder.is_finished else run(made, place, resume=True)).case
        model = case.model
    judged = Context(case._replace(model=model))
    drawn, fresh, train = judged.generated, judged.fresh, case.samples.train
    measures = {
        "kl": measure(METRICS["kl"], judged).value,
        "ratio": memorisation_ratio(drawn, train, fresh).value,
        "copying": copying_probability(drawn, train, fresh).value,
    }
    return measures, np.asarray(drawn), np.asarray(train)


def _empirical(game, train: np.ndarray) -> SmoothedPotential:
    dynamics: TimeReversal = game.dynamics
    return SmoothedPotential(dynamics.noising, train, _NOTHING * jnp.eye(train.shape[1]))


def _judged(found: Kept) -> str:
    """What was aimed at with 200 samples, and what came out."""
    kl = {name: [each.kl for each in found[name, SHOWN]] for name in ("proximal", *NETWORKS)}
    ratio = np.mean([each.ratio for each in found["proximal", SHOWN]])
    lines = []
    for words, others in (("network", NETWORKS), ("network without HJB", ("plain", "field"))):
        best = min(others, key=lambda name: np.mean(kl[name]))
        pairs = zip(kl["proximal"], kl[best], strict=False)  # the seeds that both have
        part = np.exp(np.mean([np.log(own / other) for own, other in pairs]))
        lines.append(
            f"- {SHOWN} samples, KL of the kernel score model over that of the best {words} "
            f"({TITLES[best]}), geometric mean over seeds: {part:.2f}, at most 0.5: "
            f"{'met' if part <= 0.5 else '**missed**'}."
        )
    near = abs(ratio - 1) <= 0.1
    lines.append(
        f"- {SHOWN} samples, its nearest-neighbour ratio: {ratio:.2f}, within 10 % of 1: "
        f"{'met' if near else '**missed**'}."
    )
    return "\n".join(lines) + "\n"


def _told(values: list[float]) -> str:
    text = f"{np.mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure memorisation with few samples.")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, no figure")
    print(memorisation(parser.parse_args().quick))


if __name__ == "__main__":
    main()
