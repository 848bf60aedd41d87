"""Trainings that cannot go on: a value that is not finite, a part of the game that refuses."""

import re


class NonFiniteError(FloatingPointError):
    """A loss term or the gradient was not finite; attributes `step`, `term`, `checkpoint`.

    `advice` is what the term itself says may be the cause, empty if nothing special.
    """

    def __init__(
        self,
        step: int,
        term: str,
        checkpoint: str | None,
        tried: str = "",
        advice: str = "",
        owner: str = "fit",
    ):
        self.step, self.term, self.checkpoint, self.advice = step, term, checkpoint, advice
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint kept"
        fix = f"lower the learning rate or the weight of {term!r}, or clip the gradient"
        if term == "validation":
            fix = "look for outliers in the validation data, or lower the learning rate"
        if advice:
            fix = f"{advice}; or {fix}"
        super().__init__(
            f"`{owner}` got a value that is not finite in term {term!r} at step {step}{tried}, "
            f"expected finite losses and gradients ({kept}): {fix}."
        )


class StoppedError(RuntimeError):
    """A part of the game refused a step; attributes `step`, `checkpoint`, `reason`.

    Raised for what compiled programs find out while they run, such as a Lagrangian whose
    Hamiltonian is infinite at the costate it got.
    """

    def __init__(self, step: int, reason: str, checkpoint: str | None, owner: str = "fit"):
        self.step, self.reason, self.checkpoint = step, reason, checkpoint
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint kept"
        super().__init__(f"`{owner}` stopped after step {step} ({kept}): {reason}")


def sentence(error: BaseException) -> str | None:
    """The message of an `equinox.error_if` in a compiled program; `None` for other errors."""
    said = re.search(
        r"EquinoxRuntimeError: (.*?)(?:\n\s*\n|\n-{5}|\n  File |$)", str(error), re.DOTALL
    )
    return " ".join(said[1].split()) if said else None
