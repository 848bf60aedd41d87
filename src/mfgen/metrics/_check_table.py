"""The table of checks of a certificate or a comparison: numbers with errors, or why there is none.

A number that is not finite is no number: it is kept as a reason. A number may be stated as a
fraction of a scale, the size of terms that should cancel; 0 of 0 is 0.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mfgen import _check
from mfgen._types import Key
from mfgen.metrics._estimate import Estimate, Profile

# What a game or a density says when it cannot answer, and what a slip in a user's own part raises.
_REFUSALS = (TypeError, ValueError, NotImplementedError)
_SLIPS = (LookupError, AttributeError, ArithmeticError, AssertionError)

# Tolerances within which two errors of a check that decides have to be.
_BLURRED = 20
# What a number is, where nothing more is to be said.
SAMPLED, QUADRATURE = "error of the samples", "no error: quadrature"


class Check(NamedTuple):
    """One number of a certificate.

    Attributes:
        estimate: the number, with its standard error.
        unit: its unit in words.
        fraction: the same as a part of the terms that should cancel, `None` where there is none.
        basis: what the number is, and what its error holds: a bound, an estimate, a quadrature.
    """

    estimate: Estimate
    unit: str
    fraction: Estimate | None = None
    basis: str = ""

    def misses(self, tolerance: float) -> bool:
        """Whether the fraction exceeds the tolerance by more than two standard errors."""
        if self.fraction is None:
            return False
        least = float(self.fraction.value) - 2 * float(self.fraction.standard_error)
        return least > tolerance

    def blurs(self, tolerance: float) -> bool:
        """Whether the fraction is too uncertain to say anything: by far more than the tolerance."""
        if self.fraction is None or self.misses(tolerance):
            return False
        return 2 * float(self.fraction.standard_error) > _BLURRED * tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; a fraction of nothing is left out."""
        part = math.inf if self.fraction is None else float(self.fraction.value)
        return {
            "value": float(self.estimate.value),
            "standard_error": float(self.estimate.standard_error),
            "unit": self.unit,
            "fraction": part if math.isfinite(part) else None,
            "basis": self.basis,
        }


class CheckTable:
    """Checks so far: each adds its number, or the reason why there is none."""

    def __init__(self, key: Key | None = None):
        self.key = jax.random.key(0) if key is None else key
        self.checks: dict[str, Check] = {}
        self.missing: dict[str, str] = {}
        self.profiles: dict[str, Profile] = {}

    def tried(self, name: str, compute: Callable[[Key], Any]) -> Any | None:
        """The result of a computation, or `None` and its reason; each has a key of its own."""
        self.key, own = jax.random.split(self.key)
        try:
            return compute(own)
        except _REFUSALS as refusal:
            self.missing[name] = _check.reason(refusal).rstrip(".")
        except _SLIPS as slip:
            self.missing[name] = f"{type(slip).__name__}: {_check.reason(slip).rstrip('.')}"
        return None

    def add(
        self,
        name: str,
        estimate: Estimate,
        unit: str,
        scale: float | None = None,
        basis: str = "",
    ) -> None:
        """Keeps a number, unless it is none; its basis is told by its error, if it is not given."""
        value, error = float(estimate.value), float(estimate.standard_error)
        if not (math.isfinite(value) and math.isfinite(error)):
            self.missing[name] = f"it is {value} ± {error}: U or rho is not finite or not smooth"
            return
        fraction = None
        if scale is not None:
            fraction = Estimate(_part(abs(value), scale), _part(error, scale))
        self.checks[name] = Check(
            Estimate(value, error), unit, fraction, basis or (SAMPLED if error else QUADRATURE)
        )


def found(
    owner: str, name: str, checks: Mapping[str, Check], missing: Mapping[str, str]
) -> Estimate:
    """The number of that name; a `KeyError` in the name of `owner`, with the reason, if none is."""
    if name in checks:
        return checks[name].estimate
    known = f"it has {', '.join(checks)}"
    raise KeyError(f"`{owner}` has no {name!r}: {missing.get(name, known)}.")


def text(
    number: str, part: str, checks: Mapping[str, Check], missing: Mapping[str, str], verdict: str
) -> str:
    """Lines with aligned columns under a heading, then what is missing, and the verdict."""
    rows = [("", number, part, "unit", "what it is")]
    for name, check in checks.items():
        share = "" if check.fraction is None else percent(float(check.fraction.value))
        rows.append((name, shown(check.estimate), share, check.unit, check.basis))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"{name}: not available, {reason}" for name, reason in missing.items()]
    return "\n".join([*lines, verdict])


def plain_profiles(profiles: Mapping[str, Profile]) -> dict[str, dict[str, list[float]]]:
    """Profiles as lists of numbers, for JSON."""
    plain = lambda profile: {k: np.asarray(v, float).tolist() for k, v in profile._asdict().items()}
    return {name: plain(profile) for name, profile in profiles.items()}


def percent(fraction: float) -> str:
    share = 100 * fraction
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def shown(estimate: Estimate) -> str:
    """The number with its error, where it has one that can be seen beside it."""
    value, error = float(estimate.value), float(estimate.standard_error)
    return f"{value:.4g}" if error <= 1e-6 * abs(value) else str(Estimate(value, error))


def _part(number: float, scale: float) -> float:
    if number == 0:
        return 0.0
    return number / scale if scale > 0 else math.inf
