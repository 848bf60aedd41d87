"""What a law goes down while it is trained or moved: a functional, as estimated on the way.

descent.npz     times, energies and their standard errors, the largest rise, the functional
"""

from typing import Any

import numpy as np

from mfgen.lab._case import Case, keys
from mfgen.lab._store import RunFolder
from mfgen.losses._payment import name_of
from mfgen.solvers._particle import Cloud, Descent, Particles, descended
from mfgen.trainers._run import Run
from mfgen.zoo._gradient_flow import dissipation
from mfgen.zoo._minimising import MovementState

_KEPT = "descent.npz"


def keep(folder: RunFolder, case: Case, model: Any, trained: Run | None) -> None:
    """Writes what went down, for figures and the summary; nothing for other trainings."""
    found = _descent(case, model, trained)
    if found is not None:
        names = ("times", "energies", "standard_errors")
        arrays = {name: getattr(found, name) for name in names}
        functional = np.array(name_of(case.game.terminal))
        folder.write_arrays(
            _KEPT, arrays | {"rise": np.asarray(found.rise), "functional": functional}
        )


def told(folder: RunFolder) -> dict[str, Any] | None:
    """What went down in a run, for its summary; `None` if nothing did."""
    kept = folder.arrays(_KEPT)
    if not kept:
        return None
    return {
        "functional": str(kept["functional"]),
        "first": float(kept["energies"][0]),
        "last": float(kept["energies"][-1]),
        "standard_error": float(kept["standard_errors"][-1]),
        "rise": float(kept["rise"]),
        "time": float(kept["times"][-1]),
    }


def _descent(case: Case, model: Any, trained: Run | None) -> Descent | None:
    match trained:
        case Run(points, Cloud(), history, Particles(step_size=step)):
            return descended(points, history, float(step))
        case Run(_, MovementState() as state):
            blocks = len(state.divergences) - 1
            times = np.linspace(0.0, float(case.game.dynamics.horizon), blocks + 1)
            energies, errors = np.asarray(state.divergences), np.asarray(state.errors)
            return Descent(state.points, times, energies, errors, 0.0)
    if float(case.game.discount) and not case._replace(model=model).moved:
        return dissipation(case.game, model, key=keys(case.experiment.seed)["evaluation"])
    return None
