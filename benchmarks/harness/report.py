"""The report of a benchmark in Markdown: times, ratios, and whether the ratios meet their targets.

A race is one row of a section: the samples of its contenders, and claims on the ratios of two of
them. A claim is met if the ratio of medians and the median of ratios within rounds both meet it.
"""

import os
import platform
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.tables import table
from benchmarks.harness.threads import THREADS
from benchmarks.harness.timing import Ratio, Sample, median, ratio

LIBRARIES = ("mfgen", "jax", "jaxlib", "equinox", "diffrax", "optax", "torch", "folx")
LINE = 100


class Claim(NamedTuple):
    """A target for the time of `above` in units of the time of `below`."""

    above: str
    below: str
    bound: float
    at_least: bool

    def holds(self, found: Ratio) -> bool:
        centres = found.of_medians, found.middle
        return min(centres) >= self.bound if self.at_least else max(centres) <= self.bound


class Race(NamedTuple):
    """Samples by contender for one setting, and what is claimed of them."""

    setting: str
    samples: dict[str, list[Sample]]
    claims: tuple[Claim, ...]


class Section(NamedTuple):
    """One part of the report; the settings of its races are values of `variable`."""

    title: str
    text: str
    variable: str
    races: list[Race]


def render(sections: Sequence[Section], *, rounds: int) -> str:
    """The report as one Markdown document."""
    parts = [
        "# Speed",
        textwrap.fill(
            f"Written by `make bench-speed`, all in one run on {THREADS} thread. Contenders take "
            f"turns for {rounds} rounds; a time is the median over rounds of the processor time, "
            "with the wall time in brackets, in milliseconds. Ratios are of processor time: of the "
            "two medians, and the median of the ratios within rounds with its quartiles. A target "
            "is met if both meet it.",
            LINE,
        ),
        *(_section(section) for section in sections),
        "## Machine and versions",
        table(
            ("", ""),
            [
                ("processor", f"{_processor()}, {THREADS} of {os.cpu_count()} cores used"),
                ("system", f"{platform.system()} {platform.machine()}"),
                ("Python", platform.python_version()),
                *((name, version(name)) for name in LIBRARIES),
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    names = tuple(section.races[0].samples)
    times = [
        (race.setting, *(_time(race.samples[name]) for name in names)) for race in section.races
    ]
    ratios = [_claim(race, claim) for race in section.races for claim in race.claims]
    return "\n\n".join(
        (
            f"## {section.title}",
            textwrap.fill(section.text, LINE),
            table((section.variable, *names), times),
            table((section.variable, "ratio", "of medians", "within rounds", "target", ""), ratios),
        )
    )


def _claim(race: Race, claim: Claim) -> tuple[str, ...]:
    found = ratio(race.samples[claim.above], race.samples[claim.below])
    return (
        race.setting,
        f"{claim.above} / {claim.below}",
        f"{found.of_medians:.2f}",
        f"{found.middle:.2f} ({found.low:.2f} to {found.high:.2f})",
        f"{'at least' if claim.at_least else 'at most'} {claim.bound:g}",
        "met" if claim.holds(found) else "not met",
    )


def _time(samples: Sequence[Sample]) -> str:
    middle = median(samples)
    return f"{_milliseconds(middle.cpu)} ({_milliseconds(middle.wall)})"


def _milliseconds(seconds: float) -> str:
    """Three digits, and no power of ten."""
    value = 1e3 * seconds
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
