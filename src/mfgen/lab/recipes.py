"""Named experiments, and the settings that are chosen by the dimension of the data.

A recipe is a specification for any data set. What it leaves open is filled in by `resolve`, for d
the dimension of the data:

    scale of the Fourier features   1.5 (2 / d)^0.7       points of unit variance spread as sqrt(d)
    inner product in a potential    from d = 8 on         it fits better than one output there
    learning rate                   8e-3 for a potential, 5e-3 for a score network, from d = 8 on
                                    3e-3; 1e-3 to correct an estimate
    weight of an HJB term           0.3 min(1, 2 / d)     its square grows like the Laplacian's;
                                    three times that up to 1,000 samples, ten times up to 200;
                                    ten times to correct an estimate, which solves the equation
                                    itself, up to 1,000 samples thirty times; none if it is chosen
                                    by validation
    Laplacian of an HJB term        exact up to d = 16, then two Hutchinson probes
    points of an HJB term           noised data; spread by extra noise on real data and up to 5,000
                                    samples, which leave gaps; uniform times if there is no noising
    covariance of a kernel model    full up to d = 10, then diagonal
    early stopping                  on real data, where samples are few, and if a weight is chosen;
                                    of a kernel model up to 5,000 samples of any data
    validation part of a toy        a tenth with early stopping, else none
    divergence in likelihoods       exact up to d = 128, then eight Hutchinson probes
    divergence in training flows    exact in closed form, else up to d = 8, then one frozen probe
    sampler of a flow               its own equation, backward

The rules come from studies in 2, 8 and 20 dimensions and on real data, docs/results/hjb.md and
docs/results/hjb-tuning.md; what a specification gives overrides them.
"""

import difflib
from typing import cast

from mfgen.lab import spec, spec_particles
from mfgen.lab.catalogue import DATA, ENERGIES, FILES, TOYS, DataName
from mfgen.lab.described import RECIPES
from mfgen.lab.flow_recipes import flow_experiment, resolve_term
from mfgen.lab.particle_recipes import particle_experiment

# Noise ratios from .03 to 10 standard deviations of the data for all three. Beyond, the noised data
# are Gaussian to float32 and levels trained there are taken from those where there is structure.
_NOISINGS = {
    "vp": spec.VP(beta_max=9.1),
    "ve": spec.VE(),
    "subvp": spec.SubVP(beta_max=9.1),
}
# Models that are fitted where they are built, and need no steps.
_ESTIMATES: dict[str, spec.KernelEstimate | spec.MixtureEstimate | spec.ProximalEstimate] = {
    "score-kde": spec.KernelEstimate(),
    "score-gmm": spec.MixtureEstimate(),
    "score-proximal": spec.ProximalEstimate(),
}

_RESIDUALS = (spec.HJB, spec.ScoreHJB, spec.PathHJB, spec_particles.DissipationHJB)
_FLOWS = (
    spec.FlowGame
    | spec.EnergyGame
    | spec_particles.Proximal
    | spec_particles.Movement
    | spec_particles.Discounted
)
_FEW = 1000  # samples of a toy for a model of few samples, whose work grows with their square
_SCARCE = 5000  # up to so many samples data are few


def experiment(name: str, data: str = "gaussians8") -> spec.Experiment:
    """The named recipe on the named data, with settings open to `resolve`.

    Raises:
        ValueError: for a name that is no recipe or no data set, or data that need a file.
    """
    if data not in DATA:
        near = difflib.get_close_matches(data, DATA, n=1)
        fix = f"did you mean `{near[0]}`?" if near else "see `mfgen list`."
        raise ValueError(f"`data` got {data!r}, expected one of {', '.join(DATA)}: {fix}")
    if name not in RECIPES:
        raise ValueError(
            f"`recipe` got {name!r}, expected one of {', '.join(RECIPES)}: see `mfgen list`."
        )
    chosen = spec.Data(name=cast(DataName, data))
    for family in (flow_experiment, particle_experiment):
        found = family(name, chosen)
        if found is not None:
            return found
    if name == "score-kernel":
        return spec.Experiment(
            name=name,
            data=chosen,
            game=spec.ScoreGame(noising=_NOISINGS["vp"]),
            model=spec.KernelModel(),
            objective=(spec.Likelihood(),),
            training=spec.Training(steps=2000, learning_rate=1e-2),
            evaluation=spec.Evaluation(likelihood=spec.OneShot()),
        )
    if name in _ESTIMATES:
        if name == "score-proximal" and data in TOYS:
            chosen = spec.replace(chosen, samples=_FEW)
        return spec.Experiment(
            name=name,
            data=chosen,
            game=spec.ScoreGame(noising=_NOISINGS["vp"]),
            model=_ESTIMATES[name],
            objective=(spec.Likelihood(),),
            training=spec.Training(steps=0),
            evaluation=spec.Evaluation(likelihood=spec.OneShot()),
        )
    noising = name.split("-")[1]
    terms: tuple[spec.Objective, ...] = (spec.Denoising(),)
    if name.endswith("-hjb"):
        terms = (*terms, spec.HJB())
    reference = spec.MixtureEstimate() if "corrected" in name else None
    return spec.Experiment(
        name=name,
        data=chosen,
        game=spec.ScoreGame(noising=_NOISINGS[noising]),
        model=spec.PotentialModel(reference=reference),
        objective=terms,
    )


def dimension(data: spec.Data) -> int | None:
    """The dimension of a data set as far as it is known without reading a file."""
    if data.dim is not None:
        return data.dim
    return None if data.name in FILES else DATA[data.name].dim


def count(data: spec.Data) -> int | None:
    """The training samples of a data set where they are known to be few, else `None`."""
    known = [n for n in (data.samples, DATA[data.name].rows) if n is not None]
    return min(known) if known else None


def resolve(experiment: spec.Experiment, dim: int) -> spec.Experiment:
    """Fills in what the experiment leaves open, for data of dimension `dim`."""
    training, evaluation = experiment.training, experiment.evaluation
    return spec.replace(
        experiment,
        data=data(experiment),
        model=_model(experiment.model, dim),
        objective=tuple(
            resolve_term(
                _term(term, _weight(experiment, dim), dim, _collocation(experiment)),
                experiment.model,
                experiment.game,
                dim,
            )
            for term in experiment.objective
        ),
        training=spec.replace(
            training,
            learning_rate=_given(training.learning_rate, _rate(experiment, dim)),
            early_stopping=is_validated(experiment),
        ),
        evaluation=spec.replace(
            evaluation,
            likelihood=_likelihood(evaluation.likelihood, dim),
            sampler=_sampler(experiment),
        ),
    )


def data(experiment: spec.Experiment) -> spec.Data:
    """The data with what is held out for validation filled in, which does not need `dim`."""
    chosen = experiment.data
    if chosen.name not in TOYS or not is_validated(experiment):
        return chosen
    return spec.replace(chosen, validation=_given(chosen.validation, 0.1))


def is_validated(experiment: spec.Experiment) -> bool:
    """Whether the training is validated, if open: on real data, for a choice, for few kernels."""
    held_out = experiment.data.name not in (*TOYS, *ENERGIES)
    needed = held_out or bool(spec.selecting(experiment.objective)) or _collapses(experiment)
    return _given(experiment.training.early_stopping, needed)


def is_regularised(experiment: spec.Experiment) -> bool:
    """Whether a term of the objective is a residual of the HJB equation."""
    return any(isinstance(term, _RESIDUALS) for term in experiment.objective)


def without_regulariser(experiment: spec.Experiment) -> spec.Experiment:
    """The experiment with its HJB terms left out and its name forgotten: what pairs share."""
    plain = tuple(term for term in experiment.objective if not isinstance(term, _RESIDUALS))
    return spec.replace(experiment, name="pair", objective=plain)


def _model(model: spec.Model, dim: int) -> spec.Model:
    if isinstance(model, (spec.PotentialModel, spec.FieldModel)):
        scale = round(1.5 * (2 / max(dim, 2)) ** 0.7, 3)
        model = spec.replace(model, scale=_given(model.scale, scale))
    if isinstance(model, spec.PotentialModel):
        return spec.replace(model, inner=_given(model.inner, dim >= 8))
    if isinstance(model, spec.KernelModel):
        full = "full" if dim <= 10 else "diagonal"
        return spec.replace(model, covariance=_given(model.covariance, full))
    return model


def _likelihood(
    likelihood: spec.FlowLikelihood | spec.OneShot, dim: int
) -> spec.FlowLikelihood | spec.OneShot:
    if isinstance(likelihood, spec.OneShot):
        return likelihood
    probes = spec.ExactDivergence() if dim <= 128 else spec.HutchinsonDivergence()
    return spec.replace(likelihood, divergence=_given(likelihood.divergence, probes))


def _sampler(experiment: spec.Experiment) -> spec.Sampler:
    """A flow cannot be sampled by what adds noise, which is the default for other games."""
    sampler = experiment.evaluation.sampler
    flow = isinstance(experiment.game, _FLOWS)
    return spec.ProbabilityFlow() if flow and sampler == spec.StochasticHeun() else sampler


def _collocation(experiment: spec.Experiment) -> spec.Collocation:
    if not isinstance(experiment.game, spec.ScoreGame):
        return spec.UniformTime()
    data = experiment.data
    scarce = (count(data) or _SCARCE + 1) <= _SCARCE
    return spec.SpreadData() if scarce or data.name not in TOYS else spec.NoisedData()


def _collapses(experiment: spec.Experiment) -> bool:
    """Whether kernels trained by likelihood would shrink onto single samples."""
    few = (count(experiment.data) or _SCARCE + 1) <= _SCARCE
    return isinstance(experiment.model, spec.KernelModel) and few


def _corrects(experiment: spec.Experiment) -> bool:
    """Whether the model corrects an estimate of the data."""
    return getattr(experiment.model, "reference", None) is not None


def _rate(experiment: spec.Experiment, dim: int) -> float | None:
    if isinstance(experiment.model, spec_particles.Particles):
        return None  # they are moved, not trained
    if _corrects(experiment):
        return 1e-3
    if dim >= 8:
        return 3e-3
    return 8e-3 if isinstance(experiment.model, spec.PotentialModel) else 5e-3


def _weight(experiment: spec.Experiment, dim: int) -> float:
    samples = count(experiment.data) or _SCARCE + 1
    if _corrects(experiment):
        factor = 30.0 if samples <= 1000 else 10.0
    else:
        factor = 10.0 if samples <= 200 else 3.0 if samples <= 1000 else 1.0
    return round(0.3 * factor * min(1.0, 2 / dim), 5)


def _term(
    term: spec.Objective, usual: float, dim: int, collocation: spec.Collocation
) -> spec.Objective:
    weight = None if spec.selecting((term,)) else usual
    if isinstance(term, spec.HJB):
        squared = isinstance(term.penalty, spec.Squared)
        laplacian = spec.Exact() if dim <= 16 or not squared else spec.Hutchinson()
        return spec.replace(
            term,
            weight=_given(term.weight, weight),
            laplacian=_given(term.laplacian, laplacian),
            collocation=_given(term.collocation, collocation),
        )
    if isinstance(term, spec.ScoreHJB):
        return spec.replace(
            term,
            weight=_given(term.weight, weight),
            collocation=_given(term.collocation, collocation),
        )
    return term


def _given(value, otherwise):
    return otherwise if value is None else value
