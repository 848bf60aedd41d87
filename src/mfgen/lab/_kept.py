"""The JSON files of a run folder: what is in them, and numbers that JSON does not know.

JSON has no infinity and no NaN. A measure may be infinite (a density that misses a point), so such
numbers are written as the words "inf", "-inf" and "nan", which `float` reads back. What is read is
checked against its type: a damaged file is told at the door and not by a missing key later.
"""

import json
import math
from typing import Any

import msgspec

Number = float | str


class Measure(msgspec.Struct):
    """A measure and its standard error."""

    value: Number
    standard_error: Number


class Candidate(msgspec.Struct):
    """A weight that was tried: its best validation loss, the step of it, and the time it took."""

    weight: float
    loss: Number
    step: int | None
    seconds: float


class Weights(msgspec.Struct):
    """A weight that was chosen by validation: of which term, and all that were tried."""

    term: str
    chosen: float
    candidates: list[Candidate]


class Descent(msgspec.Struct):
    """What particles went down: at first and at last, and its largest rise in standard errors."""

    functional: str
    first: Number
    last: Number
    standard_error: Number
    rise: Number
    time: float


class Summary(msgspec.Struct):
    """summary.json: a run that was trained and judged."""

    spec: str
    data: str
    seed: int
    steps: int
    wall_seconds: float
    evaluation_seconds: float
    ms_per_step: float | None
    parameters: int
    metrics: dict[str, Measure]
    skipped: dict[str, str]
    best_step: int | None = None
    weights: Weights | None = None
    certificate: str | None = None
    warnings: list[str] = []
    descent: Descent | None = None


class Band(msgspec.Struct):
    """A measure along the noise ratio, with its standard errors."""

    value: list[Number]
    standard_error: list[Number]


class Profiles(msgspec.Struct):
    """profiles.json: measures along the noise ratio; empty for games without noising."""

    noise_ratio: list[float] = []
    hjb: Band | None = None
    score: Band | None = None


def encode(content: Any) -> str:
    """JSON text of a document, with words for the numbers that JSON does not know."""
    return json.dumps(_worded(content), indent=2, ensure_ascii=False, allow_nan=False)


def _worded(content: Any) -> Any:
    match content:
        case dict():
            return {key: _worded(value) for key, value in content.items()}
        case list() | tuple():
            return [_worded(value) for value in content]
        case float() if not math.isfinite(content):
            return str(content)
    return content
