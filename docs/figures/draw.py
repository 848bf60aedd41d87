"""Draws the picture of the README from the runs of `make demo`: `python docs/figures/draw.py`.

Eight Gaussians, and the two densities that the demo compares: that of the flow of the model without
the regulariser, by an ODE, and that of the potential of the model with it, in one evaluation. Below
each, by how much its logarithm is off where there is data.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.lab import load
from mfgen.lab._context import Context
from mfgen.metrics import Estimate
from mfgen.plot import _style
from mfgen.simulate import log_prob

RUNS = Path("runs/demo")
POINTS, REACH, SHOWN, MOST = 120, 2.1, 1e-3, 1.0  # of an axis; below this part of the peak: nothing


def main() -> None:
    without, regularised = (load(RUNS / f"{name}-gaussians8-0") for name in _NAMES)
    context = Context(regularised.case)
    axis = np.linspace(-REACH, REACH, POINTS)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)
    truth = np.asarray(jax.vmap(context.truth.log_density)(grid))
    flow = np.asarray(log_prob(without.case.game, without.case.model, grid, chunk=512))
    law = context.normalised
    if isinstance(law, ValueError):
        raise law
    potential = np.asarray(law.log_prob(grid))
    _draw(
        {
            "the truth": truth,
            f"without: flow, by an ODE\nKL {_number(without, 'kl')}": flow,
            "with HJB: potential, in one evaluation\n"
            f"KL {_number(regularised, 'one_evaluation_kl')}": potential,
        }
    )


_NAMES = ("score-vp", "score-vp-hjb")


def _number(run: Any, measure: str) -> str:
    return f"{Estimate(**run.summary['metrics'][measure])} nats"


def _draw(logarithms: dict[str, np.ndarray]) -> None:
    truth = logarithms["the truth"].reshape(POINTS, POINTS)
    inside = truth > truth.max() + np.log(SHOWN)
    extent = (-REACH, REACH, -REACH, REACH)
    with _style.settings():
        figure = _style.figure(8.4, 5.3)
        panels = figure.subplots(2, 3)
        shown = None
        for (above, below), (title, values) in zip(panels.T, logarithms.items(), strict=True):
            values = values.reshape(POINTS, POINTS)
            above.set_title(title)
            above.imshow(
                np.exp(values), origin="lower", extent=extent, vmin=0, vmax=np.exp(truth).max()
            )
            for axes in (above, below):
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
            if title != "the truth":
                error = np.where(inside, values - truth, np.nan)
                shown = below.imshow(
                    error, origin="lower", extent=extent, cmap="RdBu_r", vmin=-MOST, vmax=MOST
                )
        panels[1, 0].set_axis_off()
        place = panels[1, 0].inset_axes((0.05, 0.5, 0.9, 0.06))
        bar = figure.colorbar(shown, cax=place, orientation="horizontal")
        bar.set_label("right: log density - log truth, nats")
        path = Path(__file__).with_name("readme.png")
        figure.savefig(path, dpi=90, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
