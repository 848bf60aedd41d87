"""Named experiments, and the settings that are chosen by the dimension of the data.

A recipe is a specification for any data set. What it leaves open is filled in by `resolve`, for d
the dimension of the data:

    scale of the Fourier features   1.5 (2 / d)^0.7       points of unit variance spread as sqrt(d)
    inner product in a potential    from d = 8 on         it fits better than one output there
    learning rate                   5e-3, from d = 8 on 3e-3; 5e-4 to correct an estimate
    weight of an HJB term           0.3 min(1, 2 / d)     its square grows like the Laplacian's;
                                    ten times that to correct an estimate, which solves the equation
                                    itself; none if it is chosen by validation
    Laplacian of an HJB term        exact up to d = 16, then two Hutchinson probes
    points of an HJB term           noised data; spread by extra noise on real data, where samples
                                    are few and leave gaps; uniform times if there is no noising
    covariance of a kernel model    full up to d = 10, then diagonal
    early stopping                  on real data, where samples are few, and if a weight is chosen
    validation part of a toy        a tenth with early stopping, else none
    divergence in likelihoods       exact up to d = 128, then eight Hutchinson probes

The rules come from small studies on mixtures in 2, 8 and 20 dimensions and on digits; what a
specification gives overrides them.
"""

import difflib
from typing import NamedTuple, cast

from mfgen.lab import spec
from mfgen.lab.catalogue import DATA, FILES, TOYS, DataName

# Noise ratios from .03 to 10 standard deviations of the data for all three. Beyond, the noised data
# are Gaussian to float32 and levels trained there are taken from those where there is structure.
_NOISINGS = {
    "vp": spec.VP(beta_max=9.1),
    "ve": spec.VE(),
    "subvp": spec.SubVP(beta_max=9.1),
}
_FORWARD = {
    "vp": "dY = -(beta/2) Y ds + sqrt(beta) dW,   beta(s) linear from beta_min to beta_max",
    "ve": "dY = g dW,   noise(s) geometric from smallest_ratio to largest_ratio",
    "subvp": "dY = -(beta/2) Y ds + sqrt(beta (1 - e^(-2B))) dW,   B the integral of beta",
}


class RecipeInfo(NamedTuple):
    """A recipe in words: one sentence, and its game as lines `name: formula`."""

    summary: str
    formulas: tuple[tuple[str, str], ...]


def _game(noising: str) -> tuple[tuple[str, str], ...]:
    return (
        ("noising", f"{_FORWARD[noising]}   (from data to noise, s from 0 to S)"),
        (
            "dynamics",
            "dX = [f(t,X) + sigma v] dt + sigma dW,   t = S - s,   f minus the drift of Y",
        ),
        ("Lagrangian L", "|v|^2 / 2 - div f"),
        ("interaction I", "0"),
        ("terminal cost M", "cross-entropy -E log pi, pi the law of the data"),
        ("Hamiltonian H", "-f.p + sigma^2 |p|^2 / 2 + div f"),
        ("HJB equation", "-dU/dt + H(t,x,grad U) - (sigma^2/2) lap U = 0,   U(T) = -log pi"),
        (
            "solution",
            "U(t,x) = -log eta(S - t, x),   eta the density of Y;   v* = sigma grad log eta",
        ),
    )


def _describe() -> dict[str, RecipeInfo]:
    recipes = {}
    for noising in _NOISINGS:
        title = {"vp": "VP", "ve": "VE", "subvp": "sub-VP"}[noising]
        recipes[f"score-{noising}"] = RecipeInfo(
            f"score-based model, {title} noising, a potential trained by denoising score matching",
            (*_game(noising), ("loss", "E |sigma grad U(y) - eps|^2 over all noise levels")),
        )
        recipes[f"score-{noising}-hjb"] = RecipeInfo(
            f"the same as score-{noising}, regularised by its Hamilton-Jacobi-Bellman equation",
            (
                *_game(noising),
                (
                    "loss",
                    "E |sigma grad U(y) - eps|^2 + weight E R^2,   R the HJB residual per unit "
                    "of log noise ratio",
                ),
            ),
        )
    recipes["score-kde"] = RecipeInfo(
        "the kernel density estimate of the data, noised exactly: solves the HJB equation",
        (
            *_game("vp"),
            ("model", "U = -log (1/n) sum_i N(x; alpha x_i, alpha^2 h^2 S + noise^2 I)"),
            ("loss", "none; bandwidth h and shape S (round or covariance) by cross-validation"),
        ),
    )
    recipes["score-gmm"] = RecipeInfo(
        "a Gaussian mixture fitted by EM, noised exactly: solves the HJB equation",
        (
            *_game("vp"),
            ("model", "U = -log sum_k w_k N(x; alpha m_k, alpha^2 C_k + noise^2 I)"),
            ("loss", "-E log rho, by EM; the number of components by held-out likelihood"),
        ),
    )
    recipes["score-kernel"] = RecipeInfo(
        "a Gaussian mixture noised exactly: solves the HJB equation by construction",
        (
            *_game("vp"),
            ("model", "U = -log sum_k w_k N(x; alpha m_k, alpha^2 C_k + noise^2 I)"),
            ("loss", "-E log rho(T), maximum likelihood"),
        ),
    )
    return recipes


RECIPES = _describe()

# Models that are fitted where they are built, and need no steps.
_ESTIMATES: dict[str, spec.KernelEstimate | spec.MixtureEstimate] = {
    "score-kde": spec.KernelEstimate(),
    "score-gmm": spec.MixtureEstimate(),
}


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
    return spec.Experiment(
        name=name,
        data=chosen,
        game=spec.ScoreGame(noising=_NOISINGS[noising]),
        objective=terms,
    )


def dimension(data: spec.Data) -> int | None:
    """The dimension of a data set as far as it is known without reading a file."""
    if data.dim is not None:
        return data.dim
    return None if data.name in FILES else DATA[data.name].dim


def resolve(experiment: spec.Experiment, dim: int) -> spec.Experiment:
    """Fills in what the experiment leaves open, for data of dimension `dim`."""
    training, evaluation = experiment.training, experiment.evaluation
    return spec.replace(
        experiment,
        data=data(experiment),
        model=_model(experiment.model, dim),
        objective=tuple(
            _term(term, _weight(experiment, dim), dim, _collocation(experiment))
            for term in experiment.objective
        ),
        training=spec.replace(
            training,
            learning_rate=_given(training.learning_rate, _rate(experiment, dim)),
            early_stopping=is_validated(experiment),
        ),
        evaluation=spec.replace(evaluation, likelihood=_likelihood(evaluation.likelihood, dim)),
    )


def data(experiment: spec.Experiment) -> spec.Data:
    """The data with what is held out for validation filled in, which does not need `dim`."""
    chosen = experiment.data
    if chosen.name not in TOYS or not is_validated(experiment):
        return chosen
    return spec.replace(chosen, validation=_given(chosen.validation, 0.1))


def is_validated(experiment: spec.Experiment) -> bool:
    """Whether the training is validated: on real data, and for the choice of a weight, if open."""
    needed = experiment.data.name not in TOYS or bool(spec.selecting(experiment.objective))
    return _given(experiment.training.early_stopping, needed)


def is_regularised(experiment: spec.Experiment) -> bool:
    """Whether a term of the objective is a residual of the HJB equation."""
    return any(isinstance(term, (spec.HJB, spec.ScoreHJB)) for term in experiment.objective)


def without_regulariser(experiment: spec.Experiment) -> spec.Experiment:
    """The experiment with its HJB terms left out and its name forgotten: what pairs share."""
    plain = tuple(
        term for term in experiment.objective if not isinstance(term, (spec.HJB, spec.ScoreHJB))
    )
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


def _collocation(experiment: spec.Experiment) -> spec.Collocation:
    if not isinstance(experiment.game, spec.ScoreGame):
        return spec.UniformTime()
    return spec.NoisedData() if experiment.data.name in TOYS else spec.SpreadData()


def _corrects(experiment: spec.Experiment) -> bool:
    """Whether the model corrects an estimate of the data."""
    return getattr(experiment.model, "reference", None) is not None


def _rate(experiment: spec.Experiment, dim: int) -> float:
    if _corrects(experiment):
        return 5e-4
    return 5e-3 if dim < 8 else 3e-3


def _weight(experiment: spec.Experiment, dim: int) -> float:
    return round((3.0 if _corrects(experiment) else 0.3) * min(1.0, 2 / dim), 5)


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
