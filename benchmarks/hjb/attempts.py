"""What was tried to bring the regularised potential of the mixture in 8 dimensions closer.

The study `attempts`: each row is the regularised potential of the study `density` with some change,
the first with none of what was found. They were tried on this target itself, so that the best of
them is a little better here than it would be elsewhere.
"""

from typing import Any

from benchmarks.harness.tables import table
from benchmarks.hjb.density import KNOWN, VARIED, regularised
from benchmarks.hjb.results import Results
from benchmarks.hjb.rows import Row
from benchmarks.hjb.tables import cell

STUDY = "attempts"
_SEEDS = (0, 1, 2)


def rows() -> list[Row]:
    """All rows of the study."""
    chosen = regularised(VARIED)
    score, residual = chosen.terms
    wide = {"collocation": {"type": "SpreadData", "extra": 1.0}}
    far = residual | wide | {"points": 16, "penalty": {"type": "Huber"}}
    far["weight"] = 0.1 * residual["weight"]
    plain = {name: value for name, value in score.items() if name != "control_variate"}
    none = chosen.changed({"objective": [plain, residual], "model.reach": 3.0})

    def terms(*found: dict[str, Any]) -> dict[str, Any]:
        return {"objective": list(found)}

    spread = residual | {"collocation": {"type": "SpreadData", "extra": 0.22}}
    attempts = {
        "neither control variate nor a shorter reach": none,
        "control variate below 0.1": none.changed({"objective[0].control_variate": 0.1}),
        "control variate below 0.3": none.changed({"objective[0].control_variate": 0.3}),
        "games end at a noise ratio of 0.03": none.changed({"game.noising.smallest_ratio": 0.03}),
        "residual points spread by 0.22": none.changed(terms(plain, spread)),
        "residual points spread by 1": none.changed(terms(plain, residual | wide)),
        "16 more, spread by 1": none.changed(terms(plain, residual, far)),
        "control variate below 0.1, reach 2": chosen,
        "control variate below 0.1, reach 2, 16 more points spread by 1": chosen.changed(
            terms(score, residual, far)
        ),
    }
    return [Row(STUDY, VARIED, name, made, _SEEDS) for name, made in attempts.items()]


def section(results: Results) -> str:
    """What the page says of them: those that have been run."""
    lines = []
    for row in rows():
        ran = results.finished(row)
        if ran:
            values = [results.values(STUDY, VARIED, row.method, name) for name in KNOWN]
            cells = ["refused" if found is None else cell(found) for found in values]
            known = 0 if values[1] is None else len(values[1].by_seed)
            lines.append([row.method, *cells, f"{ran - known} of {ran}"])
    if not lines:
        return ""
    head = ["", "KL by ODE", "KL in one evaluation", "effective", "refused"]
    return f"""\
## What was tried in one evaluation ({VARIED}, 3,000 steps)

The regularised potential of the section before with some changes. All were tried on this target.

{table(head, lines)}
"""
