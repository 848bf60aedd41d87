"""Both densities of a model: of its flow by the ODE, and of its potential in one evaluation.

The study `density`, on the targets of the others, with the methods of `benchmarks.hjb.design`.
What is judged is the density of the regularised potential, exp(-U) / Z, against that of the flow of
the same network without the regulariser, and of the flow of a score network that was trained for as
long as the regularised one (`field=`). A run in which exp(-U) has no Z that its weights tell is
refused there, by the library, and counts as such.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.harness.tables import table
from benchmarks.hjb.choices import REACH, SPACE_RATE, VARIATE
from benchmarks.hjb.cost import STEPS, Costs
from benchmarks.hjb.design import FEWER, PLANE, REAL_EVERY, REAL_STEPS, SMALL, SPACE, finer, method
from benchmarks.hjb.results import Ratio, Results, ratio
from benchmarks.hjb.rows import Row
from benchmarks.hjb.tables import NONE, cell, times
from benchmarks.hjb.targets import Aim
from mfgen.lab import Experiment

TARGETS = {name: PLANE[name] for name in ("8 Gaussians", "mixture A", "checkerboard")} | SPACE
TABLES = SMALL | {"digits": ({"name": "digits", "split": 0}, 1438)}
LONG = ("mixture A", "mixture, d = 8", "mixture, d = 20", "mixture, d = 50")
MUCH, MOST = 30_000, 100_000  # steps of longer trainings; the second up to 8 dimensions

# Where score matching has a control variate, in all methods alike, and potentials a shorter reach.
VARIED = "mixture, d = 8"

# The measures of both densities: of known targets and of tables.
KNOWN = ("kl", "one_evaluation_kl", "effective_part")
HELD_OUT = ("log_likelihood", "one_evaluation_likelihood", "effective_part")


def rows(costs: Costs, protein: str | None = None) -> list[Row]:
    """All rows of the study; `protein` is the file of that table."""
    found = []
    for setting, data in TARGETS.items():
        found += _known("density", setting, data, STEPS, costs)
        if setting in LONG:
            for steps in (MUCH, MOST)[: 2 if data.get("dim", 2) <= 8 else 1]:
                found += _known("density", f"{setting}, {steps:,} steps", data, steps, costs)
    tables = dict(TABLES)
    if protein:
        tables["protein"] = ({"name": "table", "path": protein, "split": 0}, 36_584)
    for setting, (data, count) in tables.items():
        for name in _LIKELIHOODS:
            made = method(name, data, steps=REAL_STEPS, few=count)
            changes: dict[str, Any] = {"evaluation.metrics": list(HELD_OUT)}
            if made.training.steps:
                changes["training.every"] = REAL_EVERY
            found.append(Row("density of tables", setting, name, made.changed(changes), FEWER))
    return found


def _known(study: str, setting: str, data: dict, steps: int, costs: Costs) -> list[Row]:
    dim, found = data.get("dim", 2), []
    for name in ("plain", "hjb", "field=", "mixture"):
        base = name.rstrip("=")
        count = costs.steps(dim, base, of=steps) if base != name else steps
        found.append(Row(study, setting, name, _made(base, setting, data, count), FEWER))
    return found


def _made(name: str, setting: str, data: dict, steps: int) -> Experiment:
    """A method on a target, judged by both of its densities."""
    dim, potential = data.get("dim", 2), name in ("plain", "hjb")
    made = method(name, data, steps=steps).changed({"evaluation.metrics": list(KNOWN)})
    if dim >= 8:
        made = finer(made)
    if 8 <= dim < 16 and potential:
        made = made.changed({"training.learning_rate": SPACE_RATE})
    if setting == VARIED and made.terms:
        reach = {"model.reach": REACH} if potential else {}
        made = made.changed({"objective[0].control_variate": VARIATE} | reach)
    return made


def regularised(setting: str) -> Experiment:
    """The regularised potential of the study on a target, for the usual number of steps."""
    return _made("hjb", setting, TARGETS[setting], STEPS)


def section(results: Results) -> str:
    """What the page says of both densities."""
    if not results.settings("density"):
        return ""
    return f"""\
## The density in one evaluation

The potential of a model, read as a density exp(-U) / Z, beside the density of the model's flow. Z
is found once, by importance weights of points that the model draws; `effective` is the part of them
that the weights leave. KL(truth || density), {STEPS:,} steps unless said; `field=` and the last
column: a score network trained for as long as the regularised potential. The last two columns are
paired seed by seed. In `{VARIED}` score matching has a control variate below a noise ratio of
{VARIATE:g} in all methods (`field=` keeps its steps, a few more than fit then), and potentials a
reach of {REACH:g}: these two were chosen on that target itself.

{_divergences(results)}
Log-likelihood of held-out rows in nats and original units, larger is better: of the flows, and of
the potential in one evaluation.

{_likelihoods(results)}
`refused`: the weights behind Z have degenerated, or exp(-U) has mass where nothing was drawn. `not
measured`: there is no run yet; `make bench-hjb` makes it. Numbers without ± are of one seed.
"""


def _divergences(results: Results) -> str:
    lines = []
    for setting in results.settings("density"):
        ode = [_cell(results, "density", setting, name, "kl") for name in _FLOWS]
        own = [_cell(results, "density", setting, name, KNOWN[1]) for name in ("plain", "hjb")]
        part = _cell(results, "density", setting, "hjb", KNOWN[2])
        over = [times(gain(results, setting, other)) for other in ("plain", "field=")]
        lines.append([setting, *ode, *own, part, *over])
    head = [
        "",
        *(f"{name}: ODE" if name != "mixture" else name for name in _FLOWS),
        "plain: one evaluation",
        "hjb: one evaluation",
        "effective",
        "hjb in one / plain by ODE",
        "hjb in one / field= by ODE",
    ]
    return table(head, lines)


_FLOWS = ("plain", "hjb", "field=", "mixture")


def _likelihoods(results: Results) -> str:
    study, lines = "density of tables", []
    for setting in results.settings(study):
        ode = [_cell(results, study, setting, name, HELD_OUT[0]) for name in _LIKELIHOODS]
        own = [_cell(results, study, setting, name, HELD_OUT[1]) for name, _ in _PAIRS]
        part = _cell(results, study, setting, "hjb", HELD_OUT[2])
        gains = [gain_of_table(results, setting, *pair) for pair in _PAIRS]
        told = [NONE if found is None else f"{found:+.2f}" for found in gains]
        lines.append([setting, *ode, *own, part, *told])
    head = [
        "",
        *(f"{name}: ODE" if name != "mixture" else name for name in _LIKELIHOODS),
        *(f"{name}: one evaluation" for name, _ in _PAIRS),
        "effective (hjb)",
        *(f"{name} in one - {other} by ODE" for name, other in _PAIRS),
    ]
    return table(head, lines)


_LIKELIHOODS = ("plain", "hjb", "field", "corrected", "corrected-hjb", "mixture")
_PAIRS = (("hjb", "plain"), ("corrected-hjb", "corrected"))


def gain(results: Results, setting: str, other: str) -> Ratio | None:
    """The divergence of the regularised potential's density over that of another's flow."""
    first = results.values("density", setting, "hjb", KNOWN[1])
    second = results.values("density", setting, other, KNOWN[0])
    return None if first is None or second is None else ratio(first, second)


def gain_of_table(
    results: Results, setting: str, name: str = "hjb", other: str = "plain"
) -> float | None:
    """Nats of a regularised potential's density above the flow of another, on average."""
    study = "density of tables"
    first = results.values(study, setting, name, HELD_OUT[1])
    second = results.values(study, setting, other, HELD_OUT[0])
    if first is None or second is None:
        return None
    seeds = first.by_seed.keys() & second.by_seed.keys()
    differences = [first.by_seed[seed] - second.by_seed[seed] for seed in seeds]
    return sum(differences) / len(differences) if differences else None


def _cell(results: Results, study: str, setting: str, name: str, measure: str) -> str:
    values, row = results.values(study, setting, name, measure), results.row(study, setting, name)
    runs = 0 if row is None else results.finished(row)
    if values is None:
        return "refused" if runs else "not measured"
    refused = runs - len(values.by_seed)
    return cell(values) + (f" ({refused} of {runs} refused)" if refused else "")


def aims(results: Results) -> list[Aim]:
    """What was aimed at."""
    found = []
    for setting, over_plain, over_field in (
        ("8 Gaussians", 0.1, 0.25),
        ("mixture A", 0.1, 0.25),
        ("checkerboard", 0.1, 0.25),
        ("mixture, d = 8", 0.1, 0.25),
        ("product, d = 8", 0.8, None),
        ("mixture, d = 20", 0.15, 0.35),
        (f"mixture, d = 50, {MUCH:,} steps", 0.3, 0.6),
    ):
        pairs: Sequence[tuple[str, float | None]] = (("plain", over_plain), ("field=", over_field))
        for other, bound in pairs:
            if bound is not None:
                found_ratio = gain(results, setting, other)
                what = f"{setting}, KL, hjb in one evaluation / {other} by ODE"
                found.append(Aim(what, found_ratio and found_ratio.mean, bound))
    for name, other in _PAIRS:
        gains = [
            gain_of_table(results, setting, name, other)
            for setting in results.settings("density of tables")
        ]
        known = [value for value in gains if value is not None]
        better = sum(value > 0 for value in known) if known else None
        what = f"{len(known)} tables: those on which {name} in one evaluation beats {other} by ODE"
        found.append(Aim(what, better, 4, True))
    return found
