"""The report of a check of a game: for each question a verdict, its evidence, and the repair.

`HOLDS` means that nothing sampled contradicts it, which is evidence and no proof; `FAILS` comes
with a counterexample, and is certain up to rounding; `UNKNOWN` says why it could not be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Verdict(Enum):
    """The answer to one question of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


class Item(NamedTuple):
    """One question of a check, answered.

    Attributes:
        name: the question, such as "L is convex in v".
        status: the answer.
        evidence: a sentence with the figures behind it.
        reference: where the condition comes from.
        repair: which cost or setting repairs it; empty if it holds.
    """

    name: str
    status: Verdict
    evidence: str
    reference: str = ""
    repair: str = ""


@dataclass(frozen=True)
class Report:
    """All questions of a check, in the order of the theory."""

    items: tuple[Item, ...]

    def __getitem__(self, name: str) -> Item:
        """The item of that name.

        Raises:
            KeyError: if there is none.
        """
        for item in self.items:
            if item.name == name:
                return item
        raise KeyError(f"no item {name!r}, expected one of {[item.name for item in self.items]}")

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @property
    def failed(self) -> tuple[Item, ...]:
        """The items that fail."""
        return tuple(item for item in self.items if item.status is Verdict.FAILS)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON, with how many items have each verdict."""
        items = [{**item._asdict(), "status": item.status.value} for item in self.items]
        found = [item["status"] for item in items]
        return {"counts": {v.value: found.count(v.value) for v in Verdict}, "items": items}

    def __str__(self) -> str:
        lines = []
        for item in self.items:
            lines.append(f"{item.status.value:8} {item.name}: {item.evidence}")
            if item.repair:
                lines.append(f"{'':8} -> {item.repair}")
        return "\n".join(lines)


def verdict(
    name: str, holds: bool | None, evidence: str, reference: str = "", repair: str = ""
) -> Item:
    """An item; `holds` is `None` where nobody knows, and a repair is kept where it fails."""
    status = {True: Verdict.HOLDS, False: Verdict.FAILS, None: Verdict.UNKNOWN}[holds]
    return Item(name, status, evidence, reference, repair if holds is False else "")


def reason(error: Exception) -> str:
    """The message of an error, without the stack of a compiled program."""
    said = str(error).split("EquinoxRuntimeError: ")[-1].split("\n\n---")[0]
    return " ".join(said.split())[:300]
