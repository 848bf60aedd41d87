"""Commands that solve games: one by itself, or that of a run, to hold the run against it.

`mfgen solve` writes a folder with `solution.npz` (times, axes, U and rho at the cell centres),
`certificate.json`, `agreement.json` where the exact solution is known, and a figure of each.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from mfgen._check import between
from mfgen._near import near
from mfgen.densities._grid import GridPath
from mfgen.games._game import MFG
from mfgen.lab import _judging
from mfgen.lab._answer import Answer, stack
from mfgen.lab._claims import check_results
from mfgen.lab._find import Source
from mfgen.lab._games import game_of
from mfgen.lab._imports import Imports
from mfgen.lab._names import signature
from mfgen.lab._run import load
from mfgen.lab._store import RunFolder
from mfgen.metrics._agreement import Agreement, compare
from mfgen.metrics._certificate import certify
from mfgen.oracles import _named as oracles
from mfgen.oracles._named import ORACLES
from mfgen.plot._solutions import plot_agreement, plot_certificate
from mfgen.solvers._base import Solution
from mfgen.solvers._base import solve as solved
from mfgen.solvers._grid import Grid, GridPotential
from mfgen.solvers._hopf_cole import HopfCole
from mfgen.solvers._neural import Neural
from mfgen.solvers._riccati import Riccati

SOLVERS = {"grid": Grid, "hopf-cole": HopfCole, "riccati": Riccati, "neural": Neural}
_WRITTEN = (
    "solution.npz", "certificate.json", "certificate.png", "agreement.json", "agreement.png",
)  # fmt: skip
_MARGIN = 1.15  # of the box beyond the mass: what happens at the walls stays there
_DEVIATIONS = 5.0  # of the initial density that a box holds, where nothing better is known
_CELLS = {1: 400, 2: 64}
_RANGES = {
    "points": (2, 20_000),  # cells along an axis
    "steps": (1, 10_000_000),
    "dim": (1, 100_000),
    "box": (1e-9, 1e9),
    "seed": (0, 2**32 - 1),
}
_BYTES = 8e9  # of a solution that is kept


class Settings(NamedTuple):
    """How a game is solved.

    Attributes:
        solver: one of `SOLVERS`.
        dim: of an oracle.
        box: half the width of the grid's box around the origin, `None` to choose it.
        points: of the grid along an axis, `None` to choose it.
        steps: of the solver, `None` for its usual ones.
        seed: of the network.
    """

    solver: str = "grid"
    dim: int = 1
    box: float | None = None
    points: int | None = None
    steps: int | None = None
    seed: int = 0

    def check(self, owner: str) -> None:
        """Refuses what no solver takes, in the words of the command line."""
        if self.solver not in SOLVERS:
            advice = near(self.solver, SOLVERS, "choose one of them.")
            raise ValueError(
                f"`{owner}` got --solver {self.solver}, expected one of {', '.join(SOLVERS)}: "
                f"{advice}"
            )
        for name, (least, most) in _RANGES.items():
            between(owner, least, most, **{f"--{name}": getattr(self, name)})

    def solved(self, game: MFG, half: float) -> Solution:
        """The solution of a game, on a grid of that half width if the solver has one."""
        maker = SOLVERS[self.solver]
        dim = self.dim if game.initial is None else game.initial.dim
        points = self.points or _CELLS.get(dim, 64)
        wanted = {"box": ((-half, half),) * dim, "points": points, "steps": self.steps}
        known = signature(maker).parameters
        fields = {n: v for n, v in wanted.items() if n in known and v is not None}
        steps = self.steps or known["steps"].default
        if "points" in fields and (needed := 16.0 * float(points) ** dim * steps) > _BYTES:
            raise ValueError(
                f"`solve` got a grid of {points}^{dim} cells and {steps} steps, which takes "
                f"{needed / 1e9:,.0f} GB, expected at most {_BYTES / 1e9:.0f}: lower --points or "
                "--steps, or take --solver neural."
            )
        with _in_options():
            return solved(game, maker(**fields), key=jax.random.key(self.seed))


@contextlib.contextmanager
def _in_options() -> Iterator[None]:
    """Says what a solver refuses in the words of the command line."""
    try:
        yield
    except ValueError as error:
        told = str(error).replace("`Lattice`", "`Grid`")
        for name, made in SOLVERS.items():
            told = re.sub(rf"`{made.__name__}(\(\))?`", f"`--solver {name}`", told)
        raise ValueError(told) from error


def solve(source: Source, *, out: Path | None, console: Console, **options: Any) -> Answer:
    """Solves a game, certifies the solution and holds it against the exact one; writes a folder.

    Raises:
        ValueError, TypeError: an unknown name or solver, or a game the solver does not cover.
    """
    given = {option: value for option, value in options.items() if value is not None}
    settings, name = Settings(**given), source.spec
    settings.check("solve")
    folder = RunFolder(out or Path("runs") / f"{Path(name).stem}-{settings.solver}")
    check_results("solve", folder.path, _WRITTEN)
    oracle = oracles.build(name, settings.dim) if name in ORACLES else None
    with console.status(f"solving {name}"), game_of("solve", source, settings.dim) as (game, _):
        half = settings.box or (_MARGIN * oracle.box if oracle else _reach(game))
        made = settings.solved(game, half)
        certificate = certify(made)
    _keep(folder, made)
    folder.write_json("certificate.json", certificate.to_dict())
    plot_certificate(certificate, folder.path / "certificate.png")
    parts = [f"{name}: {made.result.message}", f"Certificate\n{certificate}"]
    agreement = None
    if oracle:
        agreement = _agreed(folder, made, oracle.solution, (settings.solver, "exact"))
        parts.append(f"Against the exact solution\n{agreement}")
    parts.append(f"Figures and arrays: {folder.path}")
    told = {"stats": dict(made.stats), "certificate": certificate.to_dict()}
    document = {"name": name, **_result(settings, made, folder, agreement), **told}
    return Answer(document, stack(*parts))


def against(run: Path, settings: Settings, *, out: Path | None, imports: Imports) -> Answer:
    """What was trained beside what a solver finds in the same game, in standard units.

    Raises:
        ValueError, TypeError: particles without a control, or a game the solver does not cover.
    """
    settings.check("compare")
    folder = RunFolder(out or run / f"compare-{settings.solver}")
    with imports.blamed():
        case = load(run, imports).case
        game, key = case.game, jax.random.key(settings.seed)
        said = f"the model of {run}"
        mine = _judging.solved(game, case.model, said, key=key, particles=2048)
        assert mine.density is not None
        times = np.linspace(0.0, game.dynamics.horizon, 5).tolist()
        reach = max(float(np.abs(mine.density(t).particles()[0]).max()) for t in times)
        made = settings.solved(game, settings.box or _MARGIN * reach)
        agreement = _agreed(folder, mine, made, ("trained", settings.solver))
    view = stack(
        f"{settings.solver}: {made.result.message}",
        f"The model against it\n{agreement}",
        f"Table and figure: {folder.path}",
    )
    return Answer({"run": str(run), **_result(settings, made, folder, agreement)}, view)


def _result(
    settings: Settings, made: Solution, folder: RunFolder, agreement: Agreement | None
) -> dict[str, Any]:
    return {
        "solver": settings.solver,
        "status": made.result.status.value,
        "message": made.result.message,
        "folder": str(folder.path),
        "agreement": None if agreement is None else agreement.to_dict(),
    }


def _agreed(
    folder: RunFolder, first: Solution, second: Solution, labels: tuple[str, str]
) -> Agreement:
    """Keeps how far two solutions agree, with a figure of values if both have them."""
    agreement = compare(first, second)
    folder.write_json("agreement.json", agreement.to_dict())
    if first.value is not None:
        figure = folder.path / "agreement.png"
        plot_agreement(first, second, figure, labels=labels, agreement=agreement)
    return agreement


def _reach(game: MFG) -> float:
    """Half the width of a box that holds the initial density."""
    if game.initial is None:
        return 1.0  # the solver says what is missing
    mean, covariance = game.initial.moments()
    deviation = np.sqrt(np.diag(np.asarray(covariance)))
    return float(np.max(np.abs(np.asarray(mean)) + _DEVIATIONS * deviation))


def _keep(folder: RunFolder, found: Solution) -> None:
    """The arrays of a solution on a lattice; others have none."""
    match found.value, found.density:
        case GridPotential() as value, GridPath() as density:
            arrays = {f"axis_{k}": axis for k, axis in enumerate(value.lattice.axes())}
            arrays["times"], arrays["value"] = np.asarray(value.times), np.asarray(value.values)
            arrays["density"] = np.asarray(density.mass) / value.lattice.volume
            folder.write_arrays("solution.npz", arrays)
