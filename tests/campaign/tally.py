"""How cases ended: fine, refused in one line, or badly; a campaign ends with none bad."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from mfgen.lab import _failure

LONGEST, SLOWEST = 700, 5.0  # characters of a refusal; seconds of one, on a machine that is busy


class Tally:
    """Counts, and what ended badly with its seed."""

    def __init__(self, name: str):
        self.name, self.counts, self.bad = name, Counter(), []

    def run(self, seeds: Iterable[int], attempt: Callable[[int], str | None]) -> None:
        """Attempts each seed; an attempt returns what is wrong with a result, if anything is."""
        for seed in seeds:
            began = time.process_time()
            wrong, kind = self._judged(seed, attempt)
            seconds = time.process_time() - began
            if kind == "refused" and not wrong and seconds > SLOWEST:
                wrong = f"refused after {seconds:.1f} s"
            self.counts["bad" if wrong else kind] += 1
            if wrong:
                self.bad.append(f"seed {seed}: {wrong}")

    def _judged(self, seed: int, attempt: Callable[[int], str | None]) -> tuple[str | None, str]:
        try:
            return attempt(seed), "fine"
        except Refused as refusal:
            return _fault(str(refusal)), "refused"
        except Exception as error:
            line, code = _failure.told(error)
            return (_fault(line) if code == 2 else f"exit {code}: {line[:300]}"), "refused"

    def __str__(self):
        kinds = ", ".join(f"{self.counts[kind]} {kind}" for kind in ("fine", "refused", "bad"))
        return "\n".join([f"{self.name}: {kinds}", *self.bad])


class Refused(Exception):
    """A command that ended with code 2 and said why."""


def _fault(line: str) -> str | None:
    """What is wrong with the line of a refusal."""
    if "\n" in line.strip() or not line.strip():
        return f"not one line: {line[:300]!r}"
    return f"{len(line)} characters: {line[:300]!r}" if len(line) > LONGEST else None
