"""Terms of an objective in a specification: score matching, residuals, and what they are made of.

Nothing here imports JAX; `mfgen.lab.spec` is where a specification is put together.
"""

from typing import Annotated, Any

from msgspec import Meta, field

from mfgen.lab.limits import Count, ImportPath, NonNegative, Positive, Several
from mfgen.lab.spec_parts import Kind, Penalty, Squared


class LogUniform(Kind, frozen=True, tag="log-uniform"):
    low: Positive | None = None
    high: Positive | None = None


class Levels(Kind, frozen=True, tag="levels"):
    levels: Annotated[tuple[Positive, ...], Meta(min_length=1)]


Law = LogUniform | Levels


class NoisedData(Kind, frozen=True, tag="noised"):
    law: Law = LogUniform()


class SpreadData(Kind, frozen=True, tag="spread"):
    extra: NonNegative = 0.22
    law: Law = LogUniform()


class UniformTime(Kind, frozen=True, tag="uniform-time"):
    pass


class Exact(Kind, frozen=True, tag="exact"):
    pass


class Hutchinson(Kind, frozen=True, tag="hutchinson"):
    count: Several = 2


class Flat(Kind, frozen=True, tag="flat"):
    pass


class RatioPower(Kind, frozen=True, tag="ratio-power"):
    exponent: float


Weights = Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
Collocation = NoisedData | SpreadData | UniformTime
Weighting = Flat | RatioPower


class Denoising(Kind, frozen=True, tag="denoising"):
    weight: NonNegative = 1.0
    law: Law = LogUniform()


class Implicit(Kind, frozen=True, tag="implicit"):
    weight: NonNegative = 1.0
    law: Law = LogUniform()


class Sliced(Kind, frozen=True, tag="sliced"):
    weight: NonNegative = 1.0
    slices: Count = 1
    law: Law = LogUniform()


class HJB(Kind, frozen=True, tag="hjb"):
    """The HJB residual of a potential; weight, Laplacian and points by the data if absent.

    `select`: weights to choose from by validation, instead of `weight`; 0 leaves the term out.
    """

    weight: NonNegative | None = None
    select: Weights | None = None
    penalty: Penalty = Squared()
    collocation: Collocation | None = None
    laplacian: Exact | Hutchinson | None = None
    points: Count = 64
    weighting: Weighting = Flat()

    def __post_init__(self):
        _check_select("hjb", self.weight, self.select)


class ScoreHJB(Kind, frozen=True, tag="score-hjb"):
    """The gradient of the HJB equation; weight and points by the data if absent.

    `select`: as for the residual itself.
    """

    weight: NonNegative | None = None
    select: Weights | None = None
    collocation: Collocation | None = None
    points: Count = 64
    weighting: Weighting = Flat()

    def __post_init__(self):
        _check_select("score-hjb", self.weight, self.select)


class Likelihood(Kind, frozen=True, tag="likelihood"):
    weight: NonNegative = 1.0


class ImportedObjective(Kind, frozen=True, tag="import"):
    path: ImportPath
    arguments: dict[str, Any] = field(default_factory=dict)
    weight: NonNegative = 1.0


def _check_select(name: str, weight: float | None, select: tuple[float, ...] | None) -> None:
    if weight is not None and select is not None:
        raise ValueError(
            f"`objective` got `weight` and `select` in a term {name!r}, expected one of them: "
            "remove `weight` to have it chosen by validation."
        )
    if select is not None and len(set(select)) < len(select):
        raise ValueError(
            f"`objective` got select = {list(select)} in a term {name!r}, expected different "
            "weights: leave out what is there twice."
        )
