"""Images from few samples: generative particles and W1 + W2 flows on digits and MNIST.

    python -m benchmarks.gradient_flows.few_images                 # digits alone
    MNIST=folder python -m benchmarks.gradient_flows.few_images  # and the idx files in there

Two hundred training images. 500 samples are compared with 500 other images by the energy distance
and the sliced W2, in units of the pixels' common deviation, beside two baselines: other images
again, and the normal law of mean and covariance of the training images. Memorisation is the mean
distance to the nearest training image over that of other images: 1 for fresh data, 0 for copies.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.harness.tables import table
from mfgen.lab import Experiment, RunFolder, _recipes, load, run
from mfgen.lab._run import sample as draw
from mfgen.lab._spec import Data
from mfgen.metrics import energy_distance, memorisation_ratio, sliced_wasserstein2
from mfgen.plot import _style
from mfgen.zoo._catalogue import IMAGES
from mfgen.zoo._samples import prepare

TRAINED, DRAWN, SEEDS = 200, 500, (0, 1, 2)
# Particles are no faster than the critic's slope, 1: in 784 dimensions noise of deviation 1 is 28
# away from an image, so there they begin nearer and take longer steps. The flow, of which no
# particle goes farther than weight times slope, did worse from there: it stayed near the mean.
STARTS = {"digits": {"step": 0.1, "spread": 1.0}, "mnist": {"step": 0.3, "spread": 0.3}}
RECIPES = ("generative-particles", "w1w2-flow")
_SHOWN = 14  # samples of everything in the figure
KEPT = Path(__file__).parents[2] / "runs" / "gradient_flows" / "images"
FIGURE = Path(__file__).parents[2] / "docs" / "results" / "few-images.png"


def images(quick: bool) -> str:
    """The table of all data, recipes and seeds, means and deviations; draws the figure."""
    rows: list[list[str]] = []
    shown: dict[str, dict[str, np.ndarray]] = {}
    for name in ("digits", *(["mnist"] if os.environ.get("MNIST") else [])):
        found: dict[str, list[list[float]]] = {}
        for seed in SEEDS[:1] if quick else SEEDS:
            clouds = _clouds(name, seed, quick)
            train, judged = clouds.pop("training images"), clouds.pop("images")
            for title, cloud in clouds.items():
                found.setdefault(title, []).append(_measures(cloud, judged, train, seed))
            if name not in shown:
                original = prepare(_data(name, seed), key=jax.random.key(0)).original
                shown[name] = {
                    title: original(cloud[:_SHOWN])
                    for title, cloud in {"images": judged, **clouds}.items()
                }
        for title, values in found.items():
            mean, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=len(values) > 1)
            told = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
            rows.append([name, title, *told])
            print(f"  {rows[-1]}", flush=True)
    if not quick:
        _draw(shown)
    return table(["data", "samples", "energy distance", "sliced W2", "memorisation"], rows)


def _clouds(name: str, seed: int, quick: bool) -> dict[str, np.ndarray]:
    """Training images, images to judge by, and samples of everything, in standard units."""
    data = _data(name, seed)
    every = prepare(data, key=jax.random.key(0)).train
    train, judged, others = np.split(every, [TRAINED, TRAINED + DRAWN])[:3]
    clouds = {"training images": train, "images": judged, "other images": others[:DRAWN]}
    rng = np.random.default_rng(seed)
    covariance = np.cov(train.T)
    clouds["normal law"] = rng.multivariate_normal(
        train.mean(axis=0), covariance, DRAWN, check_valid="ignore"
    )
    for recipe in RECIPES:
        folder = RunFolder(KEPT / f"{'quick-' if quick else ''}{name}-{recipe}-{seed}")
        if not folder.is_finished:
            print(f"  {recipe} on {name}, seed {seed}", flush=True)
            run(_experiment(recipe, _table(name, seed), seed, quick), folder.path, resume=True)
        kept = load(folder.path)
        scaling = kept.case.samples.scaling
        clouds[recipe] = np.asarray(scaling.apply(draw(kept, DRAWN, seed=0)))
    return clouds


def _table(name: str, seed: int) -> dict[str, Any]:
    if name == "mnist":
        return {"name": "mnist", "path": os.environ["MNIST"]}
    return {"name": "digits", "split": seed}


def _data(name: str, seed: int) -> Data:
    return Experiment.of({"data": _table(name, seed)}).data


def _experiment(recipe: str, data: dict[str, Any], seed: int, quick: bool) -> Experiment:
    steps = 4 if quick else 600
    changes: dict[str, Any] = {
        "data": data | {"samples": TRAINED},
        "seed": seed,
        "training.steps": steps,
        "training.every": max(steps // 10, 1),
        "evaluation": {"samples": DRAWN, "metrics": [], "figures": False},
    }
    if recipe == "generative-particles":
        start = STARTS[data["name"]]
        changes |= {"training.step": start["step"], "training.start": DRAWN}
        changes |= {"game.initial.deviation": start["spread"]}
    return _recipes.experiment(recipe).changed(changes)


def _measures(cloud: np.ndarray, judged: np.ndarray, train: np.ndarray, seed: int) -> list[float]:
    key = jax.random.key(seed)
    return [
        float(energy_distance(cloud, judged).value),
        float(sliced_wasserstein2(cloud, judged, key=key).value),
        float(memorisation_ratio(cloud, train, judged).value),
    ]


def _draw(shown: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Some samples of everything, a row each."""
    with _style.settings():
        rows = [
            (name, title, cloud) for name, all_ in shown.items() for title, cloud in all_.items()
        ]
        figure = _style.figure(7.0, 0.62 * len(rows))
        grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (name, title, cloud) in zip(grid, rows, strict=True):
            height, width = IMAGES[name]
            strip = np.concatenate(list(cloud.reshape(-1, height, width)), axis=1)
            low, high = np.quantile(shown[name]["images"], [0.005, 0.995])
            axes.imshow(strip, cmap="gray", vmin=low, vmax=high)
            axes.set(xticks=[], yticks=[])
            axes.set_ylabel(title, rotation=0, ha="right", va="center")
        figure.savefig(FIGURE, dpi=120)
        plt.close(figure)


if __name__ == "__main__":
    print(images("--quick" in sys.argv))
