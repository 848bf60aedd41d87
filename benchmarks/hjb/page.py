"""The page of the study, docs/results/hjb.md: what is said around the tables and figures."""

from itertools import product
from pathlib import Path

from benchmarks.harness.tables import table
from benchmarks.hjb import attempts, density, figures, portraits
from benchmarks.hjb.cost import Costs
from benchmarks.hjb.results import Results
from benchmarks.hjb.rows import Row
from benchmarks.hjb.tables import NONE, cell, measures, number
from benchmarks.hjb.targets import judged

_ALL = (
    "plain",
    "hjb",
    "field",
    "plain=",
    "hjb=",
    "field=",
    "corrected",
    "corrected-hjb",
    "corrected-select",
    "corrected-field",
    "corrected=",
    "corrected-hjb=",
    "corrected-field=",
    "mixture",
    "kernel",
    "trained",
)

_HEAD = """\
# The HJB regulariser, measured

Written by `{command}`: tables, figures and verdicts come from the runs it keeps. KL is
KL(truth || model) in nats by the probability-flow ODE, so smaller is better; cells are means over
seeds ± one standard deviation. A ratio is paired seed by seed: its geometric mean, and after x/ the
geometric deviation of one seed's. With the same seed, `plain` and `hjb` share data, initial
weights, batches and noise, and differ in the regulariser alone. Settings were chosen on other
targets and seeds; early stopping looks at held-out data, never at the truth.

| method | what it is |
| --- | --- |
| plain | a potential network trained by denoising score matching |
| hjb | the same with the Hamilton-Jacobi-Bellman residual as a regulariser |
| field | a score network of the same trunk, which has no potential |
| mixture | a Gaussian mixture by EM, its size chosen on held-out data |
| kernel | a kernel density estimate, its bandwidth and shape cross-validated |
| trained | a mixture of 20 kernels trained by maximum likelihood |
| corrected | `mixture` corrected by a potential network, `-hjb`: regularised |
| corrected-select | the same, the weight chosen by validation, none among the choices |
| corrected-field | `mixture` corrected by a score network |

Where a method has a `=`, it has as many steps as fit into the budget of the section.
"""


def write(rows: list[Row], runs: Path, out: Path, *, costs: Costs, quick: bool) -> Path:
    """Writes the page and its figures.

    Arguments:
        rows: all rows of the study.
        runs: where the runs are kept.
        out: the folder of the page.

    Returns:
        The path of the page.
    """
    results = Results(rows, runs)
    pictures = out / "hjb"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = figures.draw(results, pictures)
    for study, shown in portraits.draw(results, runs, pictures).items():
        drawn[study] = drawn.get(study, "") + shown
    command = "make bench-hjb" + (" QUICK=1" if quick else "")
    parts = [
        _HEAD.format(command=command),
        _missing(rows, runs),
        "## Aims\n\n" + judged(results, costs, density.aims(results)),
        "## Where it does not help\n\n" + _losses(results),
        density.section(results),
        attempts.section(results),
        _cost(costs),
        _plane(results, drawn),
        _long(results, drawn),
        _axes(results, drawn),
        _settings(results, drawn, "ablation", "The regulariser's own settings (mixture A)"),
        _space(results, drawn),
        _settings(
            results, drawn, "front", "What was tried in eight dimensions (mixture, 3,000 steps)"
        ),
        _real(results, drawn),
    ]
    path = out / "hjb.md"
    path.write_text("\n".join(part for part in parts if part))
    return path


def _missing(rows: list[Row], runs: Path) -> str:
    left = [
        f"{row.study}: {row.setting}, {row.method}"
        for row in rows
        if not all(row.folder(runs, seed).is_finished for seed in row.seeds)
    ]
    if not left:
        return ""
    return f"**{len(left)} of {len(rows)} rows have runs that are not finished.**\n"


def _losses(results: Results) -> str:
    """Every setting in which the regularised network is not better than one without."""
    lines = [*_lost_divergences(results), *_lost_likelihoods(results)]
    if not lines:
        return "In none of the comparisons below.\n"
    note = (
        "Comparisons in which the regularised model is behind on average; the tables below have "
        "the spread over seeds.\n\n"
    )
    return note + table(["section", "setting", "comparison", "KL ratio or nats"], lines)


def _lost_divergences(results: Results) -> list[list[str]]:
    rivals = {
        "hjb": ("plain", "plain=", "field", "field="),
        "hjb=": ("plain=", "field="),
        "corrected-hjb": ("corrected", "field"),
        "corrected-hjb=": ("corrected=", "corrected-field=", "field="),
    }
    pairs = [(name, other) for name, others in rivals.items() for other in others]
    lines = []
    for study in ("plane", "long", "samples", "levels", "batch", "steps", "space"):
        for setting, (name, other) in product(results.settings(study), pairs):
            found = results.ratio(study, setting, name, other)
            if found is not None and found.mean > 1:
                lines.append([study, setting, f"{name} / {other}", f"{found.mean:.2f}"])
    return lines


def _lost_likelihoods(results: Results) -> list[list[str]]:
    rivals = {
        "hjb": ("plain", "field"),
        "corrected-hjb": ("corrected", "field"),
        "corrected-select": ("corrected", "field"),
    }
    pairs = [(name, other) for name, others in rivals.items() for other in others]
    lines = []
    for study in ("real", "large"):
        for setting, (name, other) in product(results.settings(study), pairs):
            first = results.values(study, setting, name, "log_likelihood")
            second = results.values(study, setting, other, "log_likelihood")
            if first and second and first.mean < second.mean:
                gap = f"{number(first.mean - second.mean)} nats"
                lines.append([study, setting, f"{name} - {other}", gap])
    return lines


def _cost(costs: Costs) -> str:
    names = sorted({name for times in costs.step.values() for name in times}, key=_ALL.index)
    lines = []
    for dim, times in costs.step.items():
        cells = [f"{times[name]:.2f}" if name in times else NONE for name in names]
        ratio = f"**{times['hjb'] / times['plain']:.2f}**"
        lines.append([f"d = {dim}", *cells, ratio, f"{costs.likelihood[dim]:.0f}"])
    head = ["", *names, "hjb / plain", "RK4 / one evaluation"]
    return (
        "## What it costs\n\nMilliseconds of processor time of a training step (batch 256, 64 "
        "residual points, one core), methods timed in turn. Last: the time of a likelihood by 10 "
        "Runge-Kutta steps over that of one evaluation of the potential, 1,000 points.\n\n"
        + table(head, lines)
    )


def _plane(results: Results, drawn: dict[str, str]) -> str:
    if not results.settings("plane"):
        return ""
    ratios = (("hjb", "plain"), ("hjb", "plain="), ("hjb", "field="))
    return (
        "## In the plane, with plenty of data\n\n3,000 steps; `=`: as many as fit into the time of "
        "3,000 regularised steps.\n\n"
        + measures(results, "plane", "kl", _ALL, ratios, total=True)
        + drawn.get("plane", "")
        + "\nMean absolute error of the log-density by one evaluation of the potential, nats:\n\n"
        + measures(results, "plane", "one_shot_error", _ALL, (("hjb", "plain"),))
        + "\nScore error (Girsanov bound, nats):\n\n"
        + measures(results, "plane", "score_error", _ALL, ratios)
        + "\nResidual of the equation (rms per unit of log noise ratio):\n\n"
        + measures(results, "plane", "hjb_residual", ("plain", "hjb"))
        + "\nEnergy distance of 2,000 samples to 2,000 of the truth:\n\n"
        + measures(results, "plane", "energy_distance", _ALL)
    )


def _long(results: Results, drawn: dict[str, str]) -> str:
    if not results.settings("long"):
        return ""
    ratios = (("hjb=", "plain="), ("hjb=", "field="))
    return (
        "## In the plane, trained for longer\n\nAll methods in the time of 10,000 regularised "
        "steps.\n\n"
        + measures(results, "long", "kl", _ALL, ratios, total=True)
        + drawn.get("long", "")
        + "\nMean absolute error of the log-density by one evaluation of the potential, nats:\n\n"
        + measures(results, "long", "one_shot_error", _ALL)
    )


def _axes(results: Results, drawn: dict[str, str]) -> str:
    parts = []
    for study, title in (
        ("samples", "Few training samples (mixture A, a tenth held out for early stopping)"),
        ("levels", "Score matching at few noise levels, or at small noise alone (mixture A)"),
        ("batch", "Batch size (mixture A, 3,000 steps)"),
        (
            "steps",
            "Length of the training (mixture A); `=`: in the time of so many regularised steps",
        ),
    ):
        if not results.settings(study):
            continue
        ratios = (
            ("hjb", "plain"),
            ("hjb", "plain="),
            ("hjb", "field"),
            ("hjb", "field="),
            ("corrected-hjb", "corrected"),
        )
        parts.append(f"## {title}\n\n" + measures(results, study, "kl", _ALL, ratios))
        if study == "samples":
            parts.append(
                "Memorisation ratio (distance to the nearest training sample over that of fresh "
                "data: 1 is best, copies have less):\n\n"
                + measures(results, study, "memorisation", _ALL)
            )
        parts.append(drawn.get(study, ""))
    return "\n".join(parts)


def _settings(results: Results, drawn: dict[str, str], study: str, title: str) -> str:
    """One line for each variant of a method, one column for each measure."""
    lines = []
    for setting in results.settings(study):
        named = [
            cell(results.values(study, setting, "kl", measure))
            for measure in ("kl", "one_shot_error", "score_error", "hjb_residual")
        ]
        lines.append([setting, *named])
    if not lines:
        return ""
    head = ["", "KL", "one-evaluation error", "score error", "residual"]
    return f"## {title}\n\n{table(head, lines)}{drawn.get(study, '')}"


def _space(results: Results, drawn: dict[str, str]) -> str:
    if not results.settings("space"):
        return ""
    ratios = (
        ("hjb=", "plain="),
        ("hjb=", "field="),
        ("corrected-hjb=", "corrected="),
        ("corrected-hjb=", "field="),
    )
    return (
        "## Eight dimensions and more\n\n`=`: as many steps as fit into the time of 3,000 "
        "regularised steps, less the time to fit the mixture that is corrected; with 500 samples "
        "all networks are stopped by validation.\n\n"
        + measures(results, "space", "kl", _ALL, ratios)
        + drawn.get("space", "")
        + "\nMean absolute error of the log-density by one evaluation, nats:\n\n"
        + measures(results, "space", "one_shot_error", _ALL)
    )


def _real(results: Results, drawn: dict[str, str]) -> str:
    parts = []
    for study in ("real", "large"):
        if results.settings(study):
            parts.append(measures(results, study, "log_likelihood", _ALL))
    if not parts:
        return ""
    gaps = [
        measures(results, study, "one_shot_gap", _ALL)
        for study in ("real", "large")
        if results.settings(study)
    ]
    return (
        "## Real data\n\nLog-likelihood of held-out data in nats and original units, larger is "
        "better; each seed divides the data anew into 80 % for training, 10 % for early stopping "
        "and 10 % for this table.\n\n"
        + "\n".join(parts)
        + drawn.get("real", "")
        + "\nMean absolute difference between the log-density by one evaluation and by the ODE, "
        "nats:\n\n" + "\n".join(gaps)
    )
