"""What the parts of a specification have in common, and the kinds that several floors of it share.

Nothing here imports JAX; `mfgen.lab.spec` is where a specification is put together.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mfgen.lab.limits import Count, ImportPath, Positive


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a specification; unknown fields are refused."""


AnyPart = TypeVar("AnyPart", bound=Part)


class Kind(Part, frozen=True, tag_field="type"):
    """A part that comes in several kinds, told by its field `type`."""


class Import(Kind, frozen=True, tag="import"):
    """A component of the user's own: `path = "module:Name"`, called with `arguments`."""

    path: ImportPath
    arguments: dict[str, Any] = {}


class Kinetic(Kind, frozen=True, tag="kinetic"):
    weight: Positive = 1.0


class Power(Kind, frozen=True, tag="power"):
    exponent: Annotated[float, Meta(gt=1)] = 2.0


class Relativistic(Kind, frozen=True, tag="relativistic"):
    speed: Positive = 1.0


class Squared(Kind, frozen=True, tag="squared"):
    pass


class Absolute(Kind, frozen=True, tag="absolute"):
    pass


class Huber(Kind, frozen=True, tag="huber"):
    delta: Positive = 1.0


class RungeKutta(Kind, frozen=True, tag="runge-kutta"):
    steps: Count = 40


class Adaptive(Kind, frozen=True, tag="adaptive"):
    tolerance: Annotated[float, Meta(gt=0, lt=1)] = 1e-5
    max_steps: Count = 4096


class ExactDivergence(Kind, frozen=True, tag="exact"):
    pass


class HutchinsonDivergence(Kind, frozen=True, tag="hutchinson"):
    probes: Count = 8


Penalty = Squared | Absolute | Huber


def replace(part: AnyPart, **changes: Any) -> AnyPart:
    """The part, or the whole experiment, with some of its fields changed."""
    return msgspec.structs.replace(part, **changes)
