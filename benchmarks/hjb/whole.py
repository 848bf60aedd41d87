"""The whole study and its quick form, as rows; and the methods whose steps are timed."""

from benchmarks.hjb import attempts, density
from benchmarks.hjb import design as parts
from benchmarks.hjb.cost import Costs
from benchmarks.hjb.rows import Row
from mfgen.lab import Experiment

_TIMED = ("plain", "hjb", "field", "corrected", "corrected-hjb", "corrected-field")


def timed_methods(quick: bool) -> dict[int, dict[str, Experiment]]:
    """The experiments whose steps are timed, by dimension."""
    dims = (2,) if quick else (2, 8, 20, 50)
    return {
        dim: {
            name: parts.method(name, {"name": "mixture20", "dim": dim})
            for name in (_TIMED if dim > 2 else _TIMED[:3])
        }
        for dim in dims
    }


def design(costs: Costs, *, quick: bool, protein: str | None) -> list[Row]:
    """All rows of the study."""
    if quick:
        return _quick(costs)
    rows = (
        parts.plane(costs) + parts.long(costs) + parts.samples() + parts.levels() + parts.batches()
    )
    rows += parts.steps(costs) + parts.ablations() + parts.space(costs) + parts.front()
    rows += parts.real(parts.SMALL, "real", parts.SEEDS)
    large = {"digits": ({"name": "digits", "split": 0}, 1438)}
    if protein:
        large["protein"] = ({"name": "table", "path": protein, "split": 0}, 36_584)
    return (
        rows
        + parts.real(large, "large", parts.FEWER)
        + density.rows(costs, protein)
        + attempts.rows()
    )


def _quick(costs: Costs) -> list[Row]:
    rows = []
    seeds = (0, 1)
    for setting in ("8 Gaussians", "mixture A"):
        for name in ("plain", "hjb", "mixture"):
            experiment = parts.method(name, parts.PLANE[setting], steps=1000)
            rows.append(Row("plane", setting, name, experiment, seeds))
        for name in ("plain", "field"):
            equal = parts.method(name, parts.PLANE[setting], steps=costs.steps(2, name, of=1000))
            rows.append(Row("plane", setting, f"{name}=", equal, seeds))
    data = parts.PLANE["mixture A"] | {"samples": 200}
    for name in ("plain", "hjb", "kernel"):
        experiment = parts.method(name, data, steps=1000, few=200)
        rows.append(Row("samples", "200 samples", name, experiment, seeds))
    return rows
