"""`mfgen solve`: a game solved on a grid or by a formula, certified, and held against the truth.

The folder it writes holds `solution.npz` (times, axes, U and rho at the cell centres),
`certificate.json`, `agreement.json` where the exact solution is known, and a figure of each.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from mfgen.density.grid import GridPath
from mfgen.lab import certified, oracles, results
from mfgen.lab.answer import Answer, stack
from mfgen.lab.checked import declared
from mfgen.lab.cloud import Cloud
from mfgen.lab.custom import Imports
from mfgen.lab.oracles import ORACLES
from mfgen.lab.solution_plots import plot_agreement, plot_certificate
from mfgen.lab.store import RunFolder, write_whole
from mfgen.metrics.agreement import compare
from mfgen.metrics.certificate import certify
from mfgen.models.base import AbstractModel, AbstractPotential
from mfgen.problem.game import MFG
from mfgen.solvers.base import AbstractSolver, Solution, solve
from mfgen.solvers.grid import Grid, GridPotential
from mfgen.solvers.hopf_cole import HopfCole
from mfgen.solvers.neural import Neural
from mfgen.solvers.riccati import Riccati

SOLVERS = ("grid", "hopf-cole", "riccati", "neural")
_WRITTEN = (
    "solution.npz", "certificate.json", "certificate.png", "agreement.json", "agreement.png",
)  # fmt: skip
_MARGIN = 1.15  # of the box beyond the mass: what happens at the walls stays there
_DEVIATIONS = 5.0  # of the initial density that a box holds, where nothing better is known
_CELLS = {1: 400, 2: 64}


class Settings(NamedTuple):
    """How a game is solved.

    Attributes:
        solver: one of `SOLVERS`.
        dim: of an oracle.
        box: half the width of the grid's box around the origin, `None` to choose it.
        points: of the grid along an axis, `None` to choose it.
        steps: of the grid in time, or of the network's optimiser, `None` to choose them.
        seed: of the network.
    """

    solver: str = "grid"
    dim: int = 1
    box: float | None = None
    points: int | None = None
    steps: int | None = None
    seed: int = 0


def solved(
    name: str,
    settings: Settings,
    *,
    data: str | None,
    path: Path | None,
    allow_import: bool,
    out: Path | None,
) -> Answer:
    """Solves a game and writes a folder with the solution, its certificate and figures.

    Raises:
        ValueError, TypeError: an unknown name or solver, or a game the solver does not cover.
    """
    folder = out or Path("runs") / f"{Path(name).stem}-{settings.solver}"
    results.check("solve", folder, _WRITTEN)
    imports = Imports([Path(name).parent, Path.cwd()], allowed=allow_import)
    oracle = oracles.build(name, settings.dim) if name in ORACLES else None
    with imports.blamed():
        game = oracle.solution.game if oracle else declared("solve", name, data, path, imports)
        half = settings.box or (_MARGIN * oracle.box if oracle else _reach(game))
        found = solve(game, _solver(settings, game, half), key=jax.random.key(settings.seed))
        certificate = certify(found)
    agreement = compare(found, oracle.solution) if oracle else None
    folder.mkdir(parents=True, exist_ok=True)
    _keep(folder, found)
    _write(folder / "certificate.json", certificate.to_dict())
    plot_certificate(certificate, folder / "certificate.png")
    parts: list[RenderableType] = [escape(f"{name}: {found.result.message}")]
    parts.append(Text(f"Certificate\n{certificate}"))
    if oracle and agreement:
        _write(folder / "agreement.json", agreement.to_dict())
        labels = (settings.solver, "exact")
        figure = folder / "agreement.png"
        plot_agreement(found, oracle.solution, figure, labels=labels, agreement=agreement)
        parts.append(Text(f"Against the exact solution\n{agreement}"))
    parts.append(escape(f"Figures and arrays: {folder}"))
    document = {
        "name": name,
        "solver": settings.solver,
        "status": found.result.status.value,
        "message": found.result.message,
        "stats": dict(found.stats),
        "certificate": certificate.to_dict(),
        "agreement": agreement.to_dict() if agreement else None,
        "folder": str(folder),
    }
    return Answer(_plain(document), stack(*parts))


def against(
    game: MFG, model: AbstractModel | Cloud, run: Path, settings: Settings, *, out: Path | None
) -> Answer:
    """What was trained beside what a solver finds in the same game, in standard units.

    Raises:
        ValueError, TypeError: particles without a control, or a game the solver does not cover.
    """
    key = jax.random.key(settings.seed)
    mine = certified.solved(game, model, f"the model of {run}", key=key, particles=2048)
    assert mine.density is not None
    times = np.linspace(0.0, game.dynamics.horizon, 5).tolist()
    reach = max(float(np.abs(mine.density(t).particles()[0]).max()) for t in times)
    found = solve(game, _solver(settings, game, settings.box or _MARGIN * reach), key=key)
    agreement = compare(mine, found)
    folder = out or run / f"compare-{settings.solver}"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "agreement.json", agreement.to_dict())
    parts: list[RenderableType] = [escape(f"{settings.solver}: {found.result.message}")]
    parts.append(Text(f"The model against it\n{agreement}"))
    if isinstance(mine.model, AbstractPotential):
        labels = ("trained", settings.solver)
        plot_agreement(mine, found, folder / "agreement.png", labels=labels, agreement=agreement)
    parts.append(escape(f"Table and figure: {folder}"))
    document = {
        "run": str(run),
        "solver": settings.solver,
        "status": found.result.status.value,
        "message": found.result.message,
        "agreement": agreement.to_dict(),
        "folder": str(folder),
    }
    return Answer(_plain(document), stack(*parts))


def _reach(game: MFG) -> float:
    """Half the width of a box that holds the initial density."""
    if game.initial is None:
        return 1.0  # the solver says what is missing
    mean, covariance = game.initial.moments()
    deviation = np.sqrt(np.diag(np.asarray(covariance)))
    return float(np.max(np.abs(np.asarray(mean)) + _DEVIATIONS * deviation))


def _solver(settings: Settings, game: MFG, half: float) -> AbstractSolver:
    dim = settings.dim if game.initial is None else game.initial.dim
    if settings.solver == "riccati":
        return Riccati()
    if settings.solver == "neural":
        return Neural(steps=settings.steps or 3000)
    points, box = settings.points or _CELLS.get(dim, 64), ((-half, half),) * dim
    if settings.solver == "hopf-cole":
        return HopfCole(box, points, steps=settings.steps or 20)
    if settings.solver == "grid":
        return Grid(box, points, steps=settings.steps or 100)
    raise ValueError(
        f"`solve` got the solver {settings.solver!r}, expected one of {', '.join(SOLVERS)}."
    )


def _keep(folder: Path, found: Solution) -> None:
    """The arrays of a solution on a lattice; others have none."""
    value, density = found.value, found.density
    if isinstance(value, GridPotential) and isinstance(density, GridPath):
        arrays = {f"axis_{k}": axis for k, axis in enumerate(value.lattice.axes())}
        arrays["times"], arrays["value"] = np.asarray(value.times), np.asarray(value.values)
        arrays["density"] = np.asarray(density.mass) / value.lattice.volume
        RunFolder(folder).write_arrays("solution.npz", arrays)


def _write(path: Path, document: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(_plain(document), indent=2) + "\n").encode())


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
