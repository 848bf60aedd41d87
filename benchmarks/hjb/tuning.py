"""What the settings in `benchmarks.hjb.choices` were chosen from: targets that are not reported.

    python -m benchmarks.hjb.tuning                # what is outstanding is run; writes the page
    python -m benchmarks.hjb.tuning --only plenty  # of few, plenty, real, space: the others stay

The page is docs/results/hjb-tuning.md.

Learning rates and forms of the regulariser are tried on moons, a spiral, and random mixtures of
other numbers; on real data with other divisions into training and held-out parts. The best of a
column is in bold.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.tables import table
from benchmarks.harness.threads import one_thread
from benchmarks.hjb.choices import corrected_weight
from benchmarks.hjb.design import (
    REAL_EVERY,
    REAL_STEPS,
    SCARCE_STEPS,
    SMALL,
    TRUTH,
    Table,
    finer,
    method,
)
from benchmarks.hjb.results import Results, geometric
from benchmarks.hjb.rows import Row, unique
from benchmarks.hjb.runner import run_all
from benchmarks.hjb.tables import NONE, number
from mfgen.lab import Experiment

ROOT = Path(__file__).parents[2]
TARGETS = {
    "moons": {"name": "moons"},
    "spiral": {"name": "spiral"},
    "mixture 1": {"name": "mixture20", "variant": 1},
    "mixture 2": {"name": "mixture20", "variant": 2},
}
SCARCE = {
    f"mixture 1, {count}": ({"name": "mixture20", "variant": 1, "samples": count}, count)
    for count in (100, 200, 500)
}
SPACE = {"mixture 1, d = 8": {"name": "mixture20", "dim": 8, "variant": 1}}
SEEDS = (10, 11)
_PLENTY, _FEW, _REAL, _FLOWS, _POTENTIALS = (
    "Plenty of data in the plane",
    "Few data in the plane",
    "Small sets of real data",
    "Eight dimensions, densities of flows",
    "Eight dimensions, densities of potentials in one evaluation",
)
_STUDIES = {"plenty": (_PLENTY,), "few": (_FEW,), "real": (_REAL,), "space": (_FLOWS, _POTENTIALS)}
_MEASURE = {
    _PLENTY: "kl",
    _FEW: "kl",
    _REAL: "log_likelihood",
    _FLOWS: "kl",
    _POTENTIALS: "one_evaluation_kl",
}
# Of a score network, in the time of 3,000 regularised ones: in the plane and in 8 dimensions.
_FIELD_STEPS, _SPACE_STEPS = 7800, 11_800


class _Variant(NamedTuple):
    """A method with settings of its own.

    Attributes:
        factor: of the weight of the regulariser.
        changes: of the regulariser's other settings.
    """

    method: str
    rate: float | None = None
    steps: int = 3000
    factor: float = 1.0
    changes: Mapping[str, object] = {}

    def made(self, data: Table, metrics: tuple[str, ...], few: int = 0) -> Experiment:
        made = method(self.method, data, steps=self.steps, few=few)
        fitted, *residual = made.terms
        weighted = [
            {**term, "weight": self.factor * term["weight"], **self.changes} for term in residual
        ]
        changes = {"objective": [fitted, *weighted], "evaluation.metrics": list(metrics)}
        rate = {} if self.rate is None else {"training.learning_rate": self.rate}
        return made.changed(changes | rate)


def _plenty() -> dict[str, _Variant]:
    large = {"weighting": {"type": "RatioPower", "exponent": 0.5}}
    tried = {f"plain, rate {rate:g}": _Variant("plain", rate) for rate in (8e-3, 1.2e-2)}
    for rate in (8e-3, 1.2e-2):
        tried[f"hjb, rate {rate:g}"] = _Variant("hjb", rate)
        weighted = _Variant("hjb", rate, changes=large)
        tried[f"hjb, rate {rate:g}, weighted to large noise"] = weighted
    for factor in (0.3, 3.0):
        tried[f"hjb, rate 0.008, weight times {factor:g}"] = _Variant("hjb", 8e-3, factor=factor)
    for name, changes in {
        "weighted to small noise": {"weighting": {"type": "RatioPower", "exponent": -0.5}},
        "points spread by 0.05": {"collocation": {"type": "SpreadData", "extra": 0.05}},
        "16 points": {"points": 16},
        "128 points": {"points": 128},
    }.items():
        tried[f"hjb, rate 0.008, {name}"] = _Variant("hjb", 8e-3, changes=changes)
    tried[f"field, rate 0.005, {_FIELD_STEPS} steps"] = _Variant("field", 5e-3, _FIELD_STEPS)
    return tried


def _few() -> dict[str, _Variant]:
    tried = {}
    for name, rates in {
        "plain": (1e-3, 3e-3, 6e-3),
        "field": (1e-3, 3e-3, 6e-3),
        "hjb": (1e-3, 3e-3, 8e-3),
    }.items():
        for rate in rates:
            tried[f"{name}, rate {rate:g}"] = _Variant(name, rate, SCARCE_STEPS)
    for rate, factor in ((8e-3, 0.3), (3e-3, 3.0)):
        variant = _Variant("hjb", rate, SCARCE_STEPS, factor)
        tried[f"hjb, rate {rate:g}, weight times {factor:g}"] = variant
    tried["mixture"], tried["kernel"] = _Variant("mixture"), _Variant("kernel")
    return tried


def _real() -> dict[str, _Variant]:
    tried = {}
    for name, rates in {
        "plain": (1e-3, 3e-3),
        "field": (1e-3, 3e-3),
        "hjb": (1e-3, 3e-3),
        "corrected": (5e-4, 1e-3),
    }.items():
        for rate in rates:
            tried[f"{name}, rate {rate:g}"] = _Variant(name, rate, REAL_STEPS)
    for rate, units in ((1e-3, 3.0), (1e-3, 30.0)):
        variant = _Variant("corrected-hjb", rate, REAL_STEPS, units / corrected_weight(0))
        tried[f"corrected-hjb, rate {rate:g}, weight {units:g} times the usual"] = variant
    tried["mixture"], tried["kernel"] = _Variant("mixture"), _Variant("kernel")
    return tried


def _space() -> dict[str, _Variant]:
    tried = {
        f"{name}, rate {rate:g}": _Variant(name, rate)
        for name, rates in {"plain": (3e-3, 8e-3), "hjb": (3e-3, 8e-3, 2e-2)}.items()
        for rate in rates
    }
    for factor in (0.3, 3.0):
        name = f"hjb, rate 0.008, weight times {factor:g}"
        tried[name] = _Variant("hjb", 8e-3, factor=factor)
    for name, changes in {
        "256 points": {"points": 256},
        "points spread by 0.22": {"collocation": {"type": "SpreadData"}},
        "weighted to small noise": {"weighting": {"type": "RatioPower", "exponent": -0.5}},
        "two probes": {"laplacian": {"type": "Hutchinson"}},
    }.items():
        tried[f"hjb, rate 0.008, {name}"] = _Variant("hjb", 8e-3, changes=changes)
    for rate in (5e-3, 1e-2):
        name = f"field, rate {rate:g}, {_SPACE_STEPS} steps"
        tried[name] = _Variant("field", rate, _SPACE_STEPS)
    return tried


def rows() -> list[Row]:
    """Everything that is tried."""
    tried = []
    for target, data in SPACE.items():
        for name, variant in _space().items():
            made = finer(variant.made(data, ("kl", "one_evaluation_kl")))
            studies = (_FLOWS, _POTENTIALS) if variant.method == "hjb" else (_FLOWS,)
            tried += [Row(study, target, name, made, SEEDS[:1]) for study in studies]
    for target, data in TARGETS.items():
        for name, variant in _plenty().items():
            made = variant.made(data, TRUTH)
            tried.append(Row(_PLENTY, target, name, made, SEEDS))
    for target, (data, count) in SCARCE.items():
        for name, variant in _few().items():
            made = variant.made(data, ("kl", "one_shot_error"), count)
            tried.append(Row(_FEW, target, name, made, SEEDS))
    for target, (data, count) in SMALL.items():
        for name, variant in _real().items():
            made = variant.made(data, ("log_likelihood", "one_shot_gap"), count)
            if made.training.steps:
                made = made.changed({"training.every": REAL_EVERY})
            tried.append(Row(_REAL, target, name, made, SEEDS))
    return tried


def written(tried: list[Row], runs: Path, before: str) -> str:
    """The tables of what was tried; those of other sections as they were before."""
    results, kept = Results(tried, runs), _sections(before)
    parts = [
        "# How the settings of the HJB study were chosen\n\nWritten by `python -m "
        "benchmarks.hjb.tuning`. None of these targets, seeds and divisions of data is reported in "
        "[hjb.md](hjb.md). Means over the seeds; the last column is their geometric mean for KL, "
        "and else their mean; a dash: not measured, or refused.\n"
    ]
    made = {row.study for row in tried}
    for study, measure in _MEASURE.items():
        table = _table(results, study, measure) if study in made else kept.get(study)
        if table is not None:
            parts.append(f"## {study}\n\n{table}")
    return "\n".join(parts)


def _sections(page: str) -> dict[str, str]:
    parts = (part.split("\n\n", 1) for part in page.split("\n## ")[1:])
    return {title: table.rstrip() + "\n" for title, table in parts}


def _table(results: Results, study: str, measure: str) -> str:
    columns, lines = results.settings(study), []
    found = {
        variant: [
            values.mean if (values := results.values(study, column, variant, measure)) else None
            for column in columns
        ]
        for variant in results.methods(study)
    }
    means = {variant: _mean(values, measure) for variant, values in found.items()}
    sides = [*zip(*found.values(), strict=True), tuple(means.values())]
    choose = max if measure == "log_likelihood" else min
    best = [choose((x for x in side if x is not None), default=None) for side in sides]
    for variant, values in found.items():
        cells = [
            NONE if x is None else f"**{number(x)}**" if x == top else number(x)
            for x, top in zip([*values, means[variant]], best, strict=True)
        ]
        lines.append([variant, *cells])
    head = "held-out log-likelihood, nats" if measure == "log_likelihood" else "KL, nats"
    return table([head, *columns, "mean"], lines)


def _mean(values: list[float | None], measure: str) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return sum(known) / len(known) if measure == "log_likelihood" else geometric(known)


def main() -> int:
    parser = argparse.ArgumentParser(description="Try settings on targets that are not reported.")
    parser.add_argument("--only", nargs="*", choices=_STUDIES, default=list(_STUDIES))
    studies = {study for name in parser.parse_args().only for study in _STUDIES[name]}
    one_thread()
    tried, runs = [row for row in rows() if row.study in studies], ROOT / "runs" / "hjb-tuning"
    failed = run_all(
        unique(tried),
        runs,
        workers=os.cpu_count() or 1,
        told=lambda outcome: print(
            f"{outcome.row.study}: {outcome.row.setting}, {outcome.row.method}", flush=True
        ),
    )
    out = ROOT / "docs" / "results" / "hjb-tuning.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    before = out.read_text("utf-8") if out.exists() else ""
    out.write_text(written(tried, runs, before))
    print(out)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
