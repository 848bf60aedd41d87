"""Normalizing flows and flow matching held beside OT-Flow, FFJORD and torchcfm.

    python -m benchmarks.flows                 # writes docs/results/flows.md, some hours
    python -m benchmarks.flows --only ot-flow  # that section anew, the others as they were kept
    python -m benchmarks.flows --quick         # few rounds and short runs, printed only

Contenders that compute the same are compared first, on the same weights and points, and the run
fails if loss or gradient differ. Times are of the processor on one thread, taken in turn in one
process; see `timing`. OT-Flow is timed with its work ordered as its authors order it, and in the
leaner order that computes the same.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.flows import peer_ffjord, peer_flows, peer_ot_flow, real_flows, soft_cost
from benchmarks.flows.energies import energies
from benchmarks.flows.many_flows import many_flows
from benchmarks.flows.own_flows import (
    TRAINING_BATCH,
    TRAINING_RATE,
    TRAINING_STEPS,
    Loss,
    own_ffjord_loss,
    own_ffjord_steps,
    own_matching_loss,
    own_matching_steps,
    own_ot_flow_loss,
    own_ot_flow_steps,
    own_training,
)
from benchmarks.flows.peer_ot_flow import Record, eight_gaussians
from benchmarks.flows.peer_potential import lean, ot_flow_weights, published
from benchmarks.harness.sections import command
from benchmarks.harness.tables import table
from benchmarks.harness.threads import THREADS
from benchmarks.harness.timing import Steps, median, ratio, take_turns, timed

REPORT = Path(__file__).parents[2] / "docs" / "results" / "flows.md"
KEPT = Path(__file__).parents[2] / "runs" / "flows"
HEAD = (
    "# Flows, measured\n\nWritten by `make bench-flows`. Times are of the processor on one thread, "
    "medians over rounds in which contenders take turns; a ratio is that of the medians, with the "
    "least and the largest within a round.\n"
)
SIZES, BATCH, TOLERANCE = ((2, 32), (10, 64), (50, 64)), 1024, 1e-3
GOALS = (0.022, 0.014)  # of the excess


def agree(own: Loss, peer: tuple, loss: float = 1e-5, tolerance: float = TOLERANCE) -> None:
    """Compares losses to `loss`, and gradients to `tolerance` of their largest entries.

    Raises:
        AssertionError: if they differ by more than the tolerance.
    """
    np.testing.assert_allclose(own[0], peer[0].item(), rtol=loss)
    for name, gradient in peer[1].items():
        margin = tolerance * max(np.abs(gradient).max(), 1e-6)
        np.testing.assert_allclose(own[1][name], gradient, rtol=0, atol=margin, err_msg=name)


def race(setting: str, contenders: Mapping[str, Steps], rounds: int) -> list[str]:
    """Times of all and ratios to mfgen, which comes last."""
    print(f"timing {', '.join(contenders)} ({setting})", flush=True)
    measures = {name: timed(steps, seconds=0.3) for name, steps in contenders.items()}
    samples = take_turns(measures, rounds=rounds)
    own = samples["mfgen"]
    row = [setting, *(f"{1e3 * median(found).cpu:.4g} ms" for found in samples.values())]
    for name in list(samples)[:-1]:
        within = [a.cpu / b.cpu for a, b in zip(samples[name], own, strict=True)]
        middle = ratio(samples[name], own).of_medians
        row.append(f"{middle:.2f} ({min(within):.2f} to {max(within):.2f})")
    print(f"  {row}", flush=True)
    return row


def points(count: int, dim: int = 2) -> np.ndarray:
    random = torch.Generator().manual_seed(1)
    drawn = eight_gaussians(count, random) if dim == 2 else torch.randn(count, dim)
    return drawn.numpy()


def ot_flow(quick: bool) -> str:
    rows = []
    for dim, width in SIZES[:1] if quick else SIZES:
        weights, x = ot_flow_weights(dim, width), points(BATCH, dim)
        agree(own_ot_flow_loss(weights, x), peer_ot_flow.ot_flow_loss(weights, x))
        contenders = {
            derive.__name__: peer_ot_flow.ot_flow_steps(dim, width, BATCH, derive=derive)
            for derive in (published, lean)
        }
        contenders["mfgen"] = own_ot_flow_steps(dim, width, BATCH)
        rows.append(race(f"{dim} axes, width {width}", contenders, 3 if quick else 11))
    head = ["setting", "OT-Flow", "OT-Flow, lean", "mfgen", "OT-Flow / mfgen", "lean / mfgen"]
    return table(head, rows)


def ffjord(quick: bool) -> str:
    rows = []
    for count in (0,) if quick else (0, 150):
        weights = peer_ffjord.ffjord_trained(count, BATCH)
        x = points(BATCH)
        *peer, evaluations = peer_ffjord.ffjord_loss(weights, x)
        # Both solve to 1e-5, with steps of their own.
        agree(own_ffjord_loss(weights, x), tuple(peer), 1e-4, 1e-2)
        held = peer_ffjord.parameters(weights)
        contenders = {
            "FFJORD": peer_ffjord.ffjord_steps(held, BATCH, rate=0.0),
            "mfgen": own_ffjord_steps(weights, BATCH),
        }
        forward, backward = evaluations
        setting = f"after {count} steps (its evaluations: {forward} + {backward})"
        rows.append(race(setting, contenders, 3 if quick else 11))
    return table(["weights", "FFJORD", "mfgen", "FFJORD / mfgen"], rows)


def matching(quick: bool) -> str:
    weights, random = peer_flows.cfm_weights(), np.random.default_rng(1)
    t = random.uniform(size=256).astype(np.float32)
    xt, ut = random.normal(size=(2, 256, 2)).astype(np.float32)
    agree(own_matching_loss(weights, t, xt, ut), peer_flows.cfm_loss(weights, t, xt, ut))
    rows = []
    for coupled in (False, True):
        for batch in (256,) if quick else (256, 1024):
            contenders = {
                "torchcfm": peer_flows.cfm_steps(batch, coupled=coupled),
                "mfgen": own_matching_steps(weights, batch, peer_flows.BLUR, coupled=coupled),
            }
            setting = f"{'coupled' if coupled else 'apart'}, batch {batch}"
            rows.append(race(setting, contenders, 3 if quick else 21))
    return table(["pairs", "torchcfm", "mfgen", "torchcfm / mfgen"], rows)


def quality(quick: bool) -> str:
    iterations = 50 if quick else peer_ot_flow.ITERATIONS
    runs: dict[str, Callable[[], list[Record]]] = {
        "OT-Flow": lambda: peer_ot_flow.train_ot_flow(iterations)[0],
        "OT-Flow, lean": lambda: peer_ot_flow.train_ot_flow(iterations, derive=lean)[0],
        "mfgen": lambda: own_training(50 if quick else TRAINING_STEPS, seed=0),
    }
    rows = []
    for name, run in runs.items():
        print(f"training {name}", flush=True)
        records = run()
        found, last = [peer_ot_flow.reached(records, goal) for goal in GOALS], records[-1]
        marks = last.likelihood, last.truth, last.excess, last.cost, last.hjb
        times = [_seconds(record) if record else "not reached" for record in found]
        rows.append([name, *(f"{mark:.3f}" for mark in marks), _seconds(last), *times])
        print(f"  {rows[-1]}", flush=True)
    head = ["run", "NLL", "NLL of the truth", "excess", "transport cost", "HJB residual"]
    return table([*head, "CPU time", *(f"CPU time to {goal}" for goal in GOALS)], rows)


def _seconds(record: Record) -> str:
    """Steps, and the validation of the same iterations."""
    return f"{record.training:.0f} s + {record.validation:.0f} s"


def soft(quick: bool) -> str:
    return table(soft_cost.HEAD, soft_cost.rows(*((2, 50) if quick else ())))


def real(quick: bool) -> str:
    return real_flows.real(os.environ.get("PROTEIN"), quick)


SECTIONS = {
    "ot-flow": (
        ot_flow,
        "A training step of OT-Flow",
        "Width 32 or 64, 2 layers, 8 steps of Runge and Kutta, batch 1024, Adam, single precision. "
        f"On the same weights and points losses agree to 1e-5, gradients to {TOLERANCE:g}.",
    ),
    "ffjord": (
        ffjord,
        "A training step of FFJORD",
        "64-64-64, exact divergence, dopri5 to 1e-5, adjoint equation, batch 1024.",
    ),
    "matching": (
        matching,
        "A training step of flow matching",
        "torchcfm's network of width 64; drawing of data and the plan of the batch included.",
    ),
    "quality": (
        quality,
        "Time to the likelihood of OT-Flow",
        "8 Gaussians. OT-Flow as its authors run it: 1000 iterations, batch 2048, rate .1 halved "
        "every 100, best weights by validation of every iteration. mfgen: "
        f"{TRAINING_STEPS} iterations, batch {TRAINING_BATCH}, rate {TRAINING_RATE} falling along "
        "a cosine, averaged weights; network, steps and weights of the terms are the same. On "
        "10,000 fresh points, with the negative log-likelihood (NLL) of the exact density on the "
        "same points, whose mean, the entropy, is 2.832; the excess is the difference of the two. "
        "OT-Flow's own program was seen to reach 2.838 where the truth has 2.816, an excess of "
        ".022. Times are of steps and of validation.",
    ),
    "many": (
        many_flows,
        "One density, many flows",
        "8 Gaussians, one network from five seeds: the variance of a particle's path over the "
        "seeds per coordinate, the deviation of a point's log-density over the seeds, and half "
        "the mean square of the displacement. With 20 KL at the end paths stop short of N(0, I), "
        "so the cost may be below half W2².",
    ),
    "soft": (
        soft,
        "A soft terminal cost",
        "N(2, .25) to N(0, 1) with M = KL and L = (k/2)|v|²; exact values in brackets. Mean and "
        "deviation over three seeds; the error is that of m_1 or s_1 in the worst seed.",
    ),
    "real": (
        real,
        "Likelihood on real data",
        "Log-likelihood of held-out rows in nats and original units, larger is better: mean and "
        "deviation over three splits (two of digits and protein), stopped early by validation; "
        "`score-gmm` is a Gaussian mixture by EM.",
    ),
    "energies": (
        energies,
        "Energies without data",
        "`mfgen run boltzmann --data DATA` from three seeds: the part of 4,000 samples that their "
        "importance weights leave, and log Z by these weights.",
    ),
}


def main() -> None:
    torch.set_num_threads(THREADS)
    command(
        SECTIONS,
        description="Hold flows beside those of other authors.",
        head=HEAD,
        report=REPORT,
        kept=KEPT,
    )


if __name__ == "__main__":
    main()
