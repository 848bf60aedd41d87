"""What is compared: methods, settings and seeds of every table of the study.

Methods, all on the VP score game and each at its own best learning rate (chosen by
`python -m benchmarks.hjb.tuning` on other targets and seeds):

    plain        a potential by denoising score matching
    hjb          the same with the Hamilton-Jacobi-Bellman regulariser
    field        a score network of the same trunk: no potential, so no HJB equation
    mixture      a Gaussian mixture by EM, its size cross-validated
    kernel       a kernel density estimate, its bandwidth cross-validated
    trained      a mixture of 20 kernels trained by maximum likelihood
    corrected    the mixture by EM, corrected by a potential network (`-hjb`: regularised;
                 `-select`: with a weight chosen by validation, none among the choices;
                 `-field`: corrected by a score network)

`plain` and `hjb` differ in nothing but the regulariser. Methods with `=` have as many steps as fit
into the time of 3,000 steps of `hjb`, others 3,000.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.hjb.choices import (
    CORRECTED_CHOICE,
    RATES,
    SCARCE,
    SMALLEST,
    SPREAD,
    corrected_weight,
    weight,
)
from benchmarks.hjb.cost import STEPS, Costs
from benchmarks.hjb.rows import Row
from mfgen.lab import Experiment, _recipes, _rules

Table = dict[str, Any]  # a table of a document, such as [data]
Changes = Callable[[Experiment], Experiment]


def _table(**fields: Any) -> Table:
    """A table [data]."""
    return fields


PLANE = {
    "8 Gaussians": _table(name="gaussians8"),
    "mixture A": _table(name="mixture20"),
    "mixture B": _table(name="mixture20", variant=3),
    "checkerboard": _table(name="checkerboard"),
    "pinwheel": _table(name="pinwheel"),
    "rings": _table(name="rings"),
}
SPACE = {
    "mixture, d = 8": _table(name="mixture20", dim=8),
    "product, d = 8": _table(name="product", dim=8),
    "mixture, d = 20": _table(name="mixture20", dim=20),
    "mixture, d = 50": _table(name="mixture20", dim=50),
}
SMALL = {
    "iris": (_table(name="iris", split=0), 120),
    "wine": (_table(name="wine", split=0), 142),
    "diabetes": (_table(name="diabetes", split=0), 354),
    "breast-cancer": (_table(name="breast-cancer", split=0), 455),
}
SEEDS, FEWER = (0, 1, 2, 3, 4), (0, 1, 2)
SCARCE_STEPS, REAL_STEPS = 1500, 1000  # early stopping ends most of these before
LARGE_STEPS = 2000
LONG_STEPS = 10_000
REAL_EVERY = 25  # steps between validations on small real sets, whose best step is an early one

_NETWORKS = ("plain", "hjb", "field", "corrected", "corrected-hjb")

TRUTH = (
    "kl",
    "one_shot_error",
    "score_error",
    "hjb_residual",
    "energy_distance",
)
_DENSITY = ("kl", "one_shot_error")
_FEW = ("kl", "one_shot_error", "energy_distance", "memorisation")
_HELD_OUT = ("log_likelihood", "one_shot_gap", "hjb_residual")


def method(name: str, data: Table, *, steps: int = STEPS, few: int = 0) -> Experiment:
    """A method by name on some data, for so many steps.

    With a number of samples in `few` training is stopped by validation; if they are few indeed, the
    regulariser has a larger weight and is measured at spread points.
    """
    dim = _rules.dimension(Experiment.of({"data": data}).data) or 9
    base, _, variant = name.removesuffix("=").partition("-")
    judged, exact = _judged(data, dim), {"likelihood": {"type": "OneShot"}}
    if base == "trained":
        return _named("score-kernel", name, data, evaluation=judged)
    if base in ("mixture", "kernel"):
        recipe = {"mixture": "score-gmm", "kernel": "score-kde"}[base]
        return _named(recipe, base, data, evaluation=judged | exact)
    regularised = "hjb" in (base, variant) or variant == "select"
    model = {"type": "score_field" if "field" in (base, variant) else "score_potential"}
    if base == "corrected":
        model["reference"] = {"type": "mixture_estimate"}
    rate = RATES[base].choose(dim, few=0 < few <= SCARCE)
    training = {"steps": steps, "learning_rate": rate, "checkpoint_every": max(steps, 1)}
    if few:
        training |= {"early_stopping": True, "every": 50}
    terms = [{"type": "DenoisingScoreMatching"}]
    if regularised:
        residual = _residual(dim, few, corrected=base == "corrected")
        if variant == "select":
            weights = [0.0, *(round(factor * weight(dim), 5) for factor in CORRECTED_CHOICE)]
            residual = {n: v for n, v in residual.items() if n != "weight"} | {"select": weights}
        terms.append(residual)
    changes = {"model": model, "training": training, "objective": terms, "evaluation": judged}
    return _named("score-vp", name.rstrip("="), data, **changes)


def _named(recipe: str, name: str, data: Table, **changes: Any) -> Experiment:
    return _recipes.experiment(recipe).changed({"name": name, "data": data, **changes})


def _residual(dim: int, few: int, *, corrected: bool) -> Table:
    term = {"type": "HJB", "points": 64 if dim <= 16 else 32}
    if not 0 < few <= SCARCE:
        return term | {"weight": weight(dim)}
    factor = corrected_weight(few) if corrected else SPREAD.weight(few)
    spread = {"type": "SpreadData", "extra": SPREAD.extra}
    return term | {"weight": factor * weight(dim), "collocation": spread}


def plane(costs: Costs) -> list[Row]:
    """Targets in the plane with plenty of data, at equal steps and at equal time."""
    rows = []
    for setting, data in PLANE.items():
        for name in ("plain", "hjb", "mixture", "kernel", "trained"):
            made = method(name, data)
            rows.append(Row("plane", setting, name, _shorter(made), SEEDS))
        for name in ("plain", "field"):
            equal = method(name, data, steps=costs.steps(2, name))
            rows.append(Row("plane", setting, f"{name}=", equal, SEEDS))
    return rows


def long(costs: Costs) -> list[Row]:
    """The same targets in the time of 10,000 regularised steps."""
    rows = []
    for setting, data in PLANE.items():
        for name in ("plain", "hjb", "field"):
            made = method(name, data, steps=costs.steps(2, name, of=LONG_STEPS))
            rows.append(Row("long", setting, f"{name}=", made, FEWER[:2]))
    return rows


def samples() -> list[Row]:
    """Few training samples, a tenth of them held out for early stopping."""
    rows = []
    for count in (100, 200, 500):
        data = PLANE["mixture A"] | {"samples": count}
        for name in (*_NETWORKS, "mixture", "kernel"):
            made = method(name, data, steps=SCARCE_STEPS, few=count)
            rows.append(Row("samples", f"{count} samples", name, _measured(made, _FEW), SEEDS))
    return rows


def levels() -> list[Row]:
    """Score matching at a few noise levels, or below a half of the data's deviation alone."""
    low, high = 0.03, 10.0
    rows = []
    for count in (3, 5, 8):
        ratios = tuple(round(low * (high / low) ** (k / (count - 1)), 6) for k in range(count))
        inside = (ratios[0] * 1.001, *ratios[1:-1], ratios[-1] * 0.98)
        rows += _pairs(
            "levels", f"{count} levels", _denoised({"type": "Levels", "levels": list(inside)})
        )
    rows += _pairs("levels", "below 0.5", _denoised({"type": "LogUniform", "high": 0.5}))
    return rows


def batches() -> list[Row]:
    """Batches of another size."""
    rows = []
    for size in (16, 64, 256):
        rows += _pairs("batch", f"{size}", _trained(batch_size=size))
    return rows


def steps(costs: Costs) -> list[Row]:
    """Shorter and longer training, at equal steps and at equal time."""
    data, rows = PLANE["mixture A"], []
    for count in (300, 1000, 3000, LONG_STEPS):
        rows += _pairs("steps", f"{count}", _trained(steps=count, checkpoint_every=count))
        for name in ("plain", "field"):
            made = method(name, data, steps=costs.steps(2, name, of=count))
            rows.append(Row("steps", f"{count}", f"{name}=", made, FEWER))
    return rows


def ablations() -> list[Row]:
    """The weight, the number of points, where they are, and what the penalty is."""
    data = PLANE["mixture A"]
    plain, usual = method("plain", data), method("hjb", data)
    term = usual.terms[-1]
    full, low = term["weight"], {"type": "LogUniform", "low": 0.3}
    variants: dict[str, Table | None] = {"without": None}
    for factor in (0.1, 1 / 3, 1.0, 3.0, 10.0):
        variants[f"weight {factor * full:g}"] = {"weight": factor * full}
    for count in (16, 128):
        variants[f"{count} points"] = {"points": count}
    variants["points spread by 0.22"] = {"collocation": {"type": "SpreadData"}}
    noised = {"type": "NoisedData", "law": low}
    variants["one sided: noise above 0.3"] = {"collocation": noised}
    variants["Huber"] = {"penalty": {"type": "Huber"}}
    variants["two probes"] = {"laplacian": {"type": "Hutchinson"}}
    for label, exponent in (("small", -0.5), ("large", 0.5)):
        weighting = {"type": "RatioPower", "exponent": exponent}
        variants[f"weighted to {label} noise"] = {"weighting": weighting}
    rows = []
    for label, variant in variants.items():
        terms = plain.terms if variant is None else [*plain.terms, term | variant]
        base = plain if variant is None else usual
        rows.append(Row("ablation", label, "kl", base.changed({"objective": terms}), FEWER))
    return rows


def space(costs: Costs) -> list[Row]:
    """Eight dimensions and more, everything in the time of 3,000 regularised steps."""
    rows = []
    for setting, data in SPACE.items():
        dim = data.get("dim", 2)
        seeds = FEWER if setting == "mixture, d = 8" else FEWER[:2]
        for name in (*_NETWORKS, "corrected-field") if dim < 50 else _NETWORKS[1:]:
            made = finer(method(name, data, steps=costs.steps(dim, name)))
            rows.append(Row("space", setting, f"{name}=", _measured(made, _DENSITY), seeds))
        for name in ("mixture", "kernel"):
            made = finer(method(name, data))
            rows.append(Row("space", setting, name, _measured(made, _DENSITY), seeds))
    scarce = SPACE["mixture, d = 8"] | {"samples": 500}
    for name in (*_NETWORKS, "mixture", "kernel"):
        made = finer(method(name, scarce, steps=SCARCE_STEPS, few=500))
        made = _measured(made, _DENSITY)
        rows.append(Row("space", "mixture, d = 8, 500 samples", name, made, FEWER))
    return rows


def front() -> list[Row]:
    """What was tried in eight dimensions, where the potential is behind: 3,000 steps each."""
    data = SPACE["mixture, d = 8"]
    made = {name: finer(method(name, data)) for name in ("plain", "hjb", "field", "corrected-hjb")}
    term = made["hjb"].terms[-1]
    weight = term["weight"]

    def changed(**settings: Any) -> Experiment:
        return made["hjb"].changed({"objective": [*made["hjb"].terms[:-1], term | settings]})

    one_output = {
        f"{name}, one output instead of an inner product": made[name].changed(
            {"model.inner": False}
        )
        for name in ("plain", "hjb")
    }
    attempts = {
        "score network": made["field"],
        "potential": made["plain"],
        "potential, hjb": made["hjb"],
        **one_output,
        f"hjb, weight {0.3 * weight:g} for {weight:g}": changed(weight=0.3 * weight),
        f"hjb, weight {3 * weight:g}": changed(weight=3 * weight),
        "hjb, two probes for the Laplacian": changed(laplacian={"type": "Hutchinson"}),
        "hjb, 16 points": changed(points=16),
        "hjb, weighted to large noise": changed(weighting={"type": "RatioPower", "exponent": 0.5}),
        "mixture by EM, corrected, hjb": made["corrected-hjb"],
    }
    return [Row("front", label, "kl", attempt, FEWER[:2]) for label, attempt in attempts.items()]


def real(sets: Mapping[str, tuple[Table, int]], study: str, seeds: tuple[int, ...]) -> list[Row]:
    """Real data by held-out likelihood, stopped by validation; with each its number of rows."""
    rows = []
    for setting, (data, count) in sets.items():
        steps = REAL_STEPS if study == "real" else LARGE_STEPS
        selected = ("corrected-select",) if study == "real" else ()
        for name in (*_NETWORKS, *selected, "mixture", "kernel"):
            made = method(name, data, steps=steps, few=count)
            if study == "real" and made.training.steps:
                made = made.changed({"training.every": REAL_EVERY})
            rows.append(Row(study, setting, name, made, seeds))
    return rows


def _measured(experiment: Experiment, metrics: tuple[str, ...]) -> Experiment:
    return experiment.changed({"evaluation.metrics": list(metrics)})


def _shorter(experiment: Experiment) -> Experiment:
    """A kernel at each of all data takes minutes to be sampled and compared with scores."""
    return _measured(experiment, _DENSITY) if experiment.name == "kernel" else experiment


def finer(experiment: Experiment) -> Experiment:
    """The experiment with less noise at the end of its game, for 8 dimensions and more."""
    return experiment.changed({"game.noising.smallest_ratio": SMALLEST})


def _pairs(study: str, setting: str, change: Changes) -> list[Row]:
    data = PLANE["mixture A"]
    return [
        Row(study, setting, name, change(method(name, data)), FEWER) for name in ("plain", "hjb")
    ]


def _denoised(law: Table) -> Changes:
    return lambda experiment: experiment.changed({"objective[0].law": law})


def _trained(**settings: int) -> Changes:
    changes = {f"training.{name}": value for name, value in settings.items()}
    return lambda experiment: experiment.changed(changes)


def _judged(data: Table, dim: int) -> Table:
    exact = "split" not in data and "path" not in data
    # Flows of networks trained on few data are stiff.
    steps = 20 if exact and dim >= 8 else 40
    return {
        "samples": 2000,
        "points": 2000 if dim < 8 else 1000 if dim < 20 else 500,
        "likelihood": {"integrator": {"type": "RungeKutta4", "steps": steps}},
        "metrics": list(TRUTH if exact else _HELD_OUT),
        "against": "end" if exact and data["name"] != "pinwheel" else "data",
        "figures": False,
    }
