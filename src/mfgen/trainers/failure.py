"""A training that met a value which is not finite."""


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
