"""What is compared: methods, settings and seeds of every table of the study.

Methods, all on the VP score game and each at its own best learning rate (chosen by
`python -m studies.hjb.tuning` on other targets and seeds):

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

from mfgen.lab import recipes, spec
from studies.hjb.choices import (
    CORRECTED_CHOICE,
    RATES,
    SCARCE,
    SMALLEST,
    SPREAD,
    corrected_weight,
    weight,
)
from studies.hjb.cost import STEPS, Costs
from studies.hjb.rows import Row

Data = spec.Data
Changes = Callable[[spec.Experiment], spec.Experiment]

PLANE = {
    "8 Gaussians": Data(name="gaussians8"),
    "mixture A": Data(name="mixture20"),
    "mixture B": Data(name="mixture20", variant=3),
    "checkerboard": Data(name="checkerboard"),
    "pinwheel": Data(name="pinwheel"),
    "rings": Data(name="rings"),
}
SPACE = {
    "mixture, d = 8": Data(name="mixture20", dim=8),
    "product, d = 8": Data(name="product", dim=8),
    "mixture, d = 20": Data(name="mixture20", dim=20),
    "mixture, d = 50": Data(name="mixture20", dim=50),
}
SMALL = {
    "iris": (Data(name="iris", split=0), 120),
    "wine": (Data(name="wine", split=0), 142),
    "diabetes": (Data(name="diabetes", split=0), 354),
    "breast-cancer": (Data(name="breast-cancer", split=0), 455),
}
SEEDS, FEWER = (0, 1, 2, 3, 4), (0, 1, 2)
SCARCE_STEPS, REAL_STEPS = 1500, 1000  # early stopping ends most of these before
LARGE_STEPS = 2000
LONG_STEPS = 10_000
REAL_EVERY = 25  # steps between validations on small real sets, whose best step is an early one

_NETWORKS = ("plain", "hjb", "field", "corrected", "corrected-hjb")

TRUTH: tuple[spec.MetricName, ...] = (
    "kl",
    "one_shot_error",
    "score_error",
    "hjb_residual",
    "energy_distance",
)
_DENSITY: tuple[spec.MetricName, ...] = ("kl", "one_shot_error")
_FEW: tuple[spec.MetricName, ...] = ("kl", "one_shot_error", "energy_distance", "memorisation")
_HELD_OUT = ("log_likelihood", "one_shot_gap", "hjb_residual")


def method(name: str, data: spec.Data, *, steps: int = STEPS, few: int = 0) -> spec.Experiment:
    """A method by name on some data, for so many steps.

    With a number of samples in `few` training is stopped by validation; if they are few indeed, the
    regulariser has a larger weight and is measured at spread points.
    """
    dim = recipes.dimension(data) or 9
    base, _, variant = name.removesuffix("=").partition("-")
    recipe = {"hjb": "score-vp-hjb", "mixture": "score-gmm", "kernel": "score-kde"}
    if base == "trained":
        experiment = recipes.experiment("score-kernel", "gaussians8")
        return spec.replace(experiment, name=name, data=data, evaluation=_judged(data, dim))
    if base in ("mixture", "kernel"):
        experiment = recipes.experiment(recipe[base], "gaussians8")
        likelihood = experiment.evaluation.likelihood
        judged = spec.replace(_judged(data, dim), likelihood=likelihood)
        return spec.replace(experiment, name=base, data=data, evaluation=judged)
    regularised = "hjb" in (base, variant) or variant == "select"
    experiment = recipes.experiment("score-vp-hjb" if regularised else "score-vp", "gaussians8")
    model = experiment.model
    if "field" in (base, variant):
        model = spec.FieldModel()
    if base == "corrected":
        model = spec.replace(model, reference=spec.MixtureEstimate())
    rate = RATES[base].choose(dim, few=0 < few <= SCARCE)
    training = spec.replace(
        experiment.training, steps=steps, learning_rate=rate, checkpoint_every=max(steps, 1)
    )
    if few:
        training = spec.replace(training, early_stopping=True, every=50)
    objective = experiment.objective
    if regularised:
        residual = _residual(dim, few, corrected=base == "corrected")
        if variant == "select":
            weights = (0.0, *(round(factor * weight(dim), 5) for factor in CORRECTED_CHOICE))
            residual = spec.replace(residual, weight=None, select=weights)
        objective = (*objective[:-1], residual)
    return spec.replace(
        experiment,
        name=name.rstrip("="),
        data=data,
        model=model,
        training=training,
        objective=objective,
        evaluation=_judged(data, dim),
    )


def _residual(dim: int, few: int, *, corrected: bool) -> spec.HJB:
    points = 64 if dim <= 16 else 32
    if not 0 < few <= SCARCE:
        return spec.HJB(weight=weight(dim), points=points)
    factor = corrected_weight(few) if corrected else SPREAD.weight(few)
    spread = spec.SpreadData(extra=SPREAD.extra)
    return spec.HJB(weight=factor * weight(dim), collocation=spread, points=points)


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
        data = spec.replace(PLANE["mixture A"], samples=count)
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
        rows += _pairs("levels", f"{count} levels", _denoised(spec.Levels(inside)))
    rows += _pairs("levels", "below 0.5", _denoised(spec.LogUniform(high=0.5)))
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
    term = usual.objective[-1]
    assert isinstance(term, spec.HJB)
    full = term.weight or 0.0
    variants: dict[str, spec.Objective | None] = {"without": None}
    for factor in (0.1, 1 / 3, 1.0, 3.0, 10.0):
        weighted = spec.replace(term, weight=factor * full)
        variants[f"weight {factor * full:g}"] = weighted
    for count in (16, 128):
        variants[f"{count} points"] = spec.replace(term, points=count)
    variants["points spread by 0.22"] = spec.replace(term, collocation=spec.SpreadData())
    variants["one sided: noise above 0.3"] = spec.replace(
        term, collocation=spec.NoisedData(law=spec.LogUniform(low=0.3))
    )
    variants["Huber"] = spec.replace(term, penalty=spec.Huber())
    variants["two probes"] = spec.replace(term, laplacian=spec.Hutchinson())
    for label, exponent in (("small", -0.5), ("large", 0.5)):
        weighting = spec.RatioPower(exponent)
        variants[f"weighted to {label} noise"] = spec.replace(term, weighting=weighting)
    rows = []
    for label, variant in variants.items():
        terms = plain.objective if variant is None else (*plain.objective, variant)
        base = plain if variant is None else usual
        rows.append(Row("ablation", label, "kl", spec.replace(base, objective=terms), FEWER))
    return rows


def space(costs: Costs) -> list[Row]:
    """Eight dimensions and more, everything in the time of 3,000 regularised steps."""
    rows = []
    for setting, data in SPACE.items():
        dim = data.dim or 2
        seeds = FEWER if setting == "mixture, d = 8" else FEWER[:2]
        for name in (*_NETWORKS, "corrected-field") if dim < 50 else _NETWORKS[1:]:
            made = _finer(method(name, data, steps=costs.steps(dim, name)))
            rows.append(Row("space", setting, f"{name}=", _measured(made, _DENSITY), seeds))
        for name in ("mixture", "kernel"):
            made = _finer(method(name, data))
            rows.append(Row("space", setting, name, _measured(made, _DENSITY), seeds))
    scarce = spec.replace(SPACE["mixture, d = 8"], samples=500)
    for name in (*_NETWORKS, "mixture", "kernel"):
        made = _finer(method(name, scarce, steps=SCARCE_STEPS, few=500))
        made = _measured(made, _DENSITY)
        rows.append(Row("space", "mixture, d = 8, 500 samples", name, made, FEWER))
    return rows


def front() -> list[Row]:
    """What was tried in eight dimensions, where the potential is behind: 3,000 steps each."""
    data = SPACE["mixture, d = 8"]
    made = {name: _finer(method(name, data)) for name in ("plain", "hjb", "field", "corrected-hjb")}
    usual = made["hjb"].objective[-1]
    assert isinstance(usual, spec.HJB)
    weight = usual.weight or 0.0

    def changed(**settings: object) -> spec.Experiment:
        terms = (*made["hjb"].objective[:-1], spec.replace(usual, **settings))
        return spec.replace(made["hjb"], objective=terms)

    one_output = {
        f"{name}, one output instead of an inner product": spec.replace(
            made[name], model=spec.PotentialModel(inner=False)
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
        "hjb, two probes for the Laplacian": changed(laplacian=spec.Hutchinson()),
        "hjb, 16 points": changed(points=16),
        "hjb, weighted to large noise": changed(weighting=spec.RatioPower(0.5)),
        "mixture by EM, corrected, hjb": made["corrected-hjb"],
    }
    return [Row("front", label, "kl", attempt, FEWER[:2]) for label, attempt in attempts.items()]


def real(
    sets: Mapping[str, tuple[spec.Data, int]], study: str, seeds: tuple[int, ...]
) -> list[Row]:
    """Real data by held-out likelihood, stopped by validation; with each its number of rows."""
    rows = []
    for setting, (data, count) in sets.items():
        steps = REAL_STEPS if study == "real" else LARGE_STEPS
        selected = ("corrected-select",) if study == "real" else ()
        for name in (*_NETWORKS, *selected, "mixture", "kernel"):
            made = method(name, data, steps=steps, few=count)
            if study == "real" and made.training.steps:
                made = spec.replace(made, training=spec.replace(made.training, every=REAL_EVERY))
            rows.append(Row(study, setting, name, made, seeds))
    return rows


def _measured(experiment: spec.Experiment, metrics: tuple[spec.MetricName, ...]) -> spec.Experiment:
    return spec.replace(experiment, evaluation=spec.replace(experiment.evaluation, metrics=metrics))


def _shorter(experiment: spec.Experiment) -> spec.Experiment:
    """A kernel at each of all data takes minutes to be sampled and compared with scores."""
    if experiment.name != "kernel":
        return experiment
    return _measured(experiment, _DENSITY)


def _finer(experiment: spec.Experiment) -> spec.Experiment:
    game = experiment.game
    assert isinstance(game, spec.ScoreGame)
    noising = spec.replace(game.noising, smallest_ratio=SMALLEST)
    return spec.replace(experiment, game=spec.replace(game, noising=noising))


def _pairs(study: str, setting: str, change: Changes) -> list[Row]:
    data = PLANE["mixture A"]
    return [
        Row(study, setting, name, change(method(name, data)), FEWER) for name in ("plain", "hjb")
    ]


def _denoised(law: spec.Law) -> Changes:
    def change(experiment: spec.Experiment) -> spec.Experiment:
        first, *rest = experiment.objective
        return spec.replace(experiment, objective=(spec.replace(first, law=law), *rest))

    return change


def _trained(**settings: int) -> Changes:
    def change(experiment: spec.Experiment) -> spec.Experiment:
        return spec.replace(experiment, training=spec.replace(experiment.training, **settings))

    return change


def _judged(data: spec.Data, dim: int) -> spec.Evaluation:
    exact = data.split is None and data.path is None
    return spec.Evaluation(
        samples=2000,
        points=2000 if dim < 8 else 1000 if dim < 20 else 500,
        # Flows of networks trained on few data are stiff.
        likelihood=spec.FlowLikelihood(
            integrator=spec.RungeKutta(20 if exact and dim >= 8 else 40)
        ),
        metrics=TRUTH if exact else _HELD_OUT,
        against="end" if exact and data.name != "pinwheel" else "data",
        figures=False,
    )
