"""What the settings in `studies.hjb.choices` were chosen from: targets the study does not report.

    python -m studies.hjb.tuning        # what is outstanding is run; docs/results/hjb-tuning.md

Learning rates and weights are tried on moons, a spiral, and random mixtures of other numbers; on
real data with other divisions into training and held-out parts. The best of a line is in bold.
"""

import os
import sys
from pathlib import Path

from mfgen.lab import spec
from studies.hjb.design import SMALL, method
from studies.hjb.results import Results, geometric
from studies.hjb.rows import Row, unique
from studies.hjb.runner import one_thread, run_all
from studies.hjb.tables import NONE, number, table

ROOT = Path(__file__).parents[2]
TARGETS = {
    "moons": spec.Data(name="moons"),
    "spiral": spec.Data(name="spiral"),
    "mixture 1": spec.Data(name="mixture20", variant=1),
    "mixture 2": spec.Data(name="mixture20", variant=2),
}
SEEDS = (10, 11)
RATES = (2e-3, 5e-3, 8e-3, 1.2e-2)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
_FIELD_STEPS = 7500


def rows() -> list[Row]:
    """Everything that is tried."""
    tried = []
    for target, data in TARGETS.items():
        for name in ("plain", "hjb", "field"):
            made = method(name, data, steps=_FIELD_STEPS if name == "field" else 3000)
            for rate in RATES:
                training = spec.replace(made.training, learning_rate=rate)
                changed = spec.replace(made, training=training)
                tried.append(Row(f"rate of {name}", target, f"{rate:g}", changed, SEEDS))
        made = method("hjb", data)
        for factor in FACTORS:
            tried.append(Row("weight", target, f"{factor:g}", _weighted(made, factor), SEEDS))
    for target, (data, count) in SMALL.items():
        made = method("corrected-hjb", data, steps=2000, few=count)
        for factor in (0.1, 0.3, 1.0, 3.0):
            label = f"{10 * factor:g}"
            tried.append(Row("weight, corrected", target, label, _weighted(made, factor), SEEDS))
        for name in ("plain", "hjb", "field", "corrected"):
            made = method(name, data, steps=2000, few=count)
            for rate in (3e-4, 5e-4, 1e-3, 3e-3):
                training = spec.replace(made.training, learning_rate=rate)
                changed = spec.replace(made, training=training)
                tried.append(Row(f"rate of {name}, few data", target, f"{rate:g}", changed, SEEDS))
    return tried


def written(tried: list[Row], runs: Path) -> str:
    """The tables of what was tried."""
    results = Results(tried, runs)
    parts = [
        "# How the settings of the HJB study were chosen\n\nWritten by `python -m "
        "studies.hjb.tuning`. None of these targets, seeds and divisions of data is reported in "
        "[hjb.md](hjb.md). Weights are in units of 0.3 min(1, 2/d).\n"
    ]
    for study in dict.fromkeys(row.study for row in tried):
        measure = "log_likelihood" if results.settings(study)[0] in SMALL else "kl"
        parts.append(f"## {study[0].upper()}{study[1:]}\n\n{_table(results, study, measure)}")
    return "\n".join(parts)


def _table(results: Results, study: str, measure: str) -> str:
    settings, columns = results.settings(study), results.methods(study)
    lines = []
    means: dict[str, list[float]] = {column: [] for column in columns}
    for setting in settings:
        found = {}
        for column in columns:
            values = results.values(study, setting, column, measure)
            if values is not None:
                found[column] = values.mean
                means[column].append(values.mean)
        lines.append([setting, *_cells(columns, found, smallest=measure == "kl")])
    if measure == "kl":
        last = {column: geometric(values) for column, values in means.items() if values}
        lines.append(["geometric mean", *_cells(columns, last, smallest=True)])
    else:
        last = {column: sum(values) / len(values) for column, values in means.items() if values}
        lines.append(["mean", *_cells(columns, last, smallest=False)])
    head = "KL, nats" if measure == "kl" else "held-out log-likelihood, nats"
    return table([head, *columns], lines)


def _cells(columns: list[str], found: dict[str, float], *, smallest: bool) -> list[str]:
    if not found:
        return [NONE] * len(columns)
    best = (min if smallest else max)(found, key=lambda column: found[column])
    return [
        NONE
        if column not in found
        else f"**{number(found[column])}**"
        if column == best
        else number(found[column])
        for column in columns
    ]


def _weighted(experiment: spec.Experiment, factor: float) -> spec.Experiment:
    *terms, residual = experiment.objective
    assert isinstance(residual, spec.HJB)
    weighted = spec.replace(residual, weight=factor * (residual.weight or 0.0))
    return spec.replace(experiment, objective=(*terms, weighted))


def main() -> int:
    one_thread()
    tried, runs = rows(), ROOT / "runs" / "hjb-tuning"
    failed = run_all(
        unique(tried),
        runs,
        workers=os.cpu_count() or 1,
        told=lambda outcome: print(f"{outcome.row.study}: {outcome.row.setting}", flush=True),
    )
    out = ROOT / "docs" / "results" / "hjb-tuning.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(written(tried, runs))
    print(out)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
