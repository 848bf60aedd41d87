"""Numbers of a specification that were chosen for its data, met again with other data.

A specification that was shown or kept names the numbers that the dimension of its data gave: the
scale of the features, the weight of an HJB term, and so on. On data of another dimension they are
out of place, and nobody chose them. A number is taken for such a one if it is what `resolve` gives
for the old data and not what it gives for the new; the user's own numbers are kept.
"""

from mfgen.lab import recipes, spec, toml
from mfgen.lab.catalogue import DATA


def check(experiment: spec.Experiment, data: spec.Data) -> None:
    """Refuses to move an experiment to other data with numbers that were chosen for its own.

    Raises:
        ValueError: naming the first such number.
    """
    left = [] if data.name == experiment.data.name else _left_over(experiment, data)
    if left:
        path, value = left[0]
        chosen = f"and {len(left) - 1} more were" if len(left) > 1 else "was"
        raise ValueError(
            f"`run` got --data {data.name} for a specification whose `{path}` = {value} {chosen} "
            f"chosen for {experiment.data.name}, expected settings that fit {data.name}: leave "
            "such settings out of the file, and they are chosen by the data."
        )


def _left_over(experiment: spec.Experiment, data: spec.Data) -> list[tuple[str, str]]:
    """Paths and values of what was chosen for the old data and does not fit the new."""
    blank = _blank(experiment)
    old, new = _chosen(blank, experiment.data), _chosen(blank, data)
    given = _filled(blank, experiment)
    return [
        (path, value)
        for path, value in given.items()
        if (old is None or old.get(path) == value) and (new is None or new.get(path) != value)
    ]


def _chosen(blank: spec.Experiment, data: spec.Data) -> dict[str, str] | None:
    """What is filled in for some data; `None` if its dimension is not known yet."""
    dim = recipes.dimension(data) or DATA[data.name].dim
    if dim is None:
        return None
    blank = spec.replace(blank, data=data)
    return _filled(blank, recipes.resolve(blank, dim))


def _filled(blank: spec.Experiment, full: spec.Experiment) -> dict[str, str]:
    return {change.path: change.second for change in toml.differences(blank, full)}


def _blank(experiment: spec.Experiment) -> spec.Experiment:
    """The experiment with everything open that `resolve` fills in."""
    training, evaluation = experiment.training, experiment.evaluation
    likelihood = _opened(evaluation.likelihood, "divergence")
    return spec.replace(
        experiment,
        model=_opened(experiment.model, "scale", "inner", "covariance"),
        objective=tuple(
            _opened(term, "weight", "laplacian", "collocation")
            if isinstance(term, (spec.HJB, spec.ScoreHJB))
            else term
            for term in experiment.objective
        ),
        training=spec.replace(training, learning_rate=None, early_stopping=None),
        evaluation=spec.replace(evaluation, likelihood=likelihood),
    )


def _opened(part: spec.AnyPart, *names: str) -> spec.AnyPart:
    return spec.replace(part, **{name: None for name in names if name in part.__struct_fields__})
