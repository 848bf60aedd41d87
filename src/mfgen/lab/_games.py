"""Commands about games: whether they are well posed, how they can be trained, their solutions.

`mfgen solve` writes a folder with `solution.npz` (times, axes, U and rho at the cell centres),
`certificate.json`, `agreement.json` where the exact solution is known, and a figure of each.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from mfgen.densities._grid import GridPath
from mfgen.derive._check import check as examine
from mfgen.derive._verdict import Verdict
from mfgen.games._game import MFG
from mfgen.lab import _certified, _claims
from mfgen.lab._answer import Answer, stack, table
from mfgen.lab._case import declared
from mfgen.lab._find import Source, folders, found, refuse
from mfgen.lab._imports import Imports
from mfgen.lab._run import load
from mfgen.lab._store import RunFolder
from mfgen.lab._words import near
from mfgen.metrics._agreement import compare
from mfgen.metrics._certificate import certify
from mfgen.oracles import _named as oracles
from mfgen.oracles._named import ORACLES
from mfgen.planning._planner import plan as planned
from mfgen.plot._solutions import plot_agreement, plot_certificate
from mfgen.solvers._base import AbstractSolver, Solution
from mfgen.solvers._base import solve as solved
from mfgen.solvers._grid import Grid, GridPotential
from mfgen.solvers._hopf_cole import HopfCole
from mfgen.solvers._neural import Neural
from mfgen.solvers._riccati import Riccati
from mfgen.zoo._samples import Points

SOLVERS = ("grid", "hopf-cole", "riccati", "neural")
_WRITTEN = (
    "solution.npz", "certificate.json", "certificate.png", "agreement.json", "agreement.png",
)  # fmt: skip
_DIM = 2  # of an oracle, where none is said
_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.UNKNOWN: "yellow"}
_MARGIN = 1.15  # of the box beyond the mass: what happens at the walls stays there
_DEVIATIONS = 5.0  # of the initial density that a box holds, where nothing better is known
_CELLS = {1: 400, 2: 64}
_MOST = {"points": 20_000, "steps": 10_000_000, "dim": 100_000}  # cells along an axis, and so on
_BYTES = 8e9  # of a solution that is kept


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

    def check(self, owner: str) -> None:
        """Refuses what no solver takes, in the words of the command line."""
        if self.solver not in SOLVERS:
            advice = near(self.solver, SOLVERS, "choose one of them.")
            raise ValueError(
                f"`{owner}` got --solver {self.solver}, expected one of {', '.join(SOLVERS)}: "
                f"{advice}"
            )
        for name, most in _MOST.items():
            value, least = getattr(self, name), 2 if name == "points" else 1
            if value is not None and not least <= value <= most:
                raise ValueError(
                    f"`{owner}` got --{name} {value}, expected a whole number from {least} to "
                    f"{most}: correct it."
                )
        if self.box is not None and not (math.isfinite(self.box) and self.box > 0):
            raise ValueError(
                f"`{owner}` got --box {self.box}, expected a positive number: correct it."
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(
                f"`{owner}` got --seed {self.seed}, expected a whole number from 0 to 4294967295: "
                "correct it."
            )


@contextmanager
def _of(owner: str, source: Source, dim: int = _DIM) -> Iterator[tuple[MFG, Points | None]]:
    """The game of an oracle, a recipe or a file, and the samples that it is trained on."""
    imports = Imports(folders(source.spec), allowed=source.allow_import)
    with imports.blamed():
        if source.spec in ORACLES:
            refuse(owner, source)
            yield oracles.build(source.spec, dim).solution.game, None
        else:
            _, samples, game, _ = declared(found(owner, source, oracles=True), imports)
            yield game, None if samples.is_energy else samples.train


def check(source: Source, *, spacing: float | None, step: float | None) -> Answer:
    """Whether a game is well posed, with evidence and repairs."""
    with _of("check", source) as (game, _):
        report = examine(game, game.initial, spacing=spacing, step=step)
    items = [{**item._asdict(), "status": item.status.value} for item in report]
    counts = {
        verdict.value: sum(i["status"] == verdict.value for i in items) for verdict in Verdict
    }
    rows = []
    for item in report:
        status = f"[{_STYLES[item.status]}]{item.status.value}[/]"
        rows.append([escape(item.name), status, escape(item.evidence), escape(item.repair)])
    view = stack(
        Text(source.spec, style="bold"),
        table("", ["condition", "verdict", "evidence", "repair"], rows),
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        + "; `holds` means that no sample contradicts it",
    )
    return Answer({"name": source.spec, "counts": counts, "items": items}, view)


def plan(source: Source) -> Answer:
    """The ways in which a game can be trained: the first that fits, and what others lack."""
    with _of("plan", source) as (game, points):
        entries = planned(game, points).entries
    first = next((way.name for way, lack in entries if lack is None), None)
    ways = [
        {"name": way.name, "fits": lack is None, "summary": way.summary, "lack": lack}
        for way, lack in entries
    ]
    rows = []
    for way, lack in entries:
        fits = "[bold green]taken[/]" if way.name == first else "[green]fits[/]"
        said = f"{way.summary} A step: {way.cost}." if lack is None else f"lacks: {lack}"
        rows.append([escape(way.name), fits if lack is None else "", escape(said)])
    view = stack(table(f"Ways of training {source.spec}", ["way", "", "what it is"], rows))
    return Answer({"name": source.spec, "first": first, "ways": ways}, view)


def solve(
    source: Source,
    *,
    solver: str,
    dim: int,
    box: float | None,
    points: int | None,
    steps: int | None,
    seed: int,
    out: Path | None,
    console: Console,
) -> Answer:
    """Solves a game, certifies the solution and holds it against the exact one; writes a folder.

    Raises:
        ValueError, TypeError: an unknown name or solver, or a game the solver does not cover.
    """
    settings, name = Settings(solver, dim, box, points, steps, seed), source.spec
    settings.check("solve")
    folder = RunFolder(out or Path("runs") / f"{Path(name).stem}-{solver}")
    _claims.check_results("solve", folder.path, _WRITTEN)
    oracle = oracles.build(name, dim) if name in ORACLES else None
    with console.status(f"solving {name}"), _of("solve", source, dim) as (game, _):
        half = box or (_MARGIN * oracle.box if oracle else _reach(game))
        made = solved(game, _solver(settings, game, half), key=jax.random.key(seed))
        certificate = certify(made)
    agreement = compare(made, oracle.solution) if oracle else None
    folder.path.mkdir(parents=True, exist_ok=True)
    _keep(folder, made)
    folder.write_json("certificate.json", _plain(certificate.to_dict()))
    plot_certificate(certificate, folder.path / "certificate.png")
    parts: list[RenderableType] = [escape(f"{name}: {made.result.message}")]
    parts.append(Text(f"Certificate\n{certificate}"))
    if oracle and agreement:
        folder.write_json("agreement.json", _plain(agreement.to_dict()))
        figure, labels = folder.path / "agreement.png", (solver, "exact")
        plot_agreement(made, oracle.solution, figure, labels=labels, agreement=agreement)
        parts.append(Text(f"Against the exact solution\n{agreement}"))
    parts.append(escape(f"Figures and arrays: {folder.path}"))
    document = {
        "name": name,
        "solver": solver,
        "status": made.result.status.value,
        "message": made.result.message,
        "stats": dict(made.stats),
        "certificate": certificate.to_dict(),
        "agreement": agreement.to_dict() if agreement else None,
        "folder": str(folder.path),
    }
    return Answer(_plain(document), stack(*parts))


def against(run: Path, settings: Settings, *, out: Path | None, imports: Imports) -> Answer:
    """What was trained beside what a solver finds in the same game, in standard units.

    Raises:
        ValueError, TypeError: particles without a control, or a game the solver does not cover.
    """
    settings.check("compare")
    with imports.blamed():
        case = load(run, imports).case
        game, key = case.game, jax.random.key(settings.seed)
        said = f"the model of {run}"
        mine = _certified.solved(game, case.model, said, key=key, particles=2048)
        assert mine.density is not None
        times = np.linspace(0.0, game.dynamics.horizon, 5).tolist()
        reach = max(float(np.abs(mine.density(t).particles()[0]).max()) for t in times)
        made = solved(game, _solver(settings, game, settings.box or _MARGIN * reach), key=key)
        agreement = compare(mine, made)
    folder = RunFolder(out or run / f"compare-{settings.solver}")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json("agreement.json", _plain(agreement.to_dict()))
    parts: list[RenderableType] = [escape(f"{settings.solver}: {made.result.message}")]
    parts.append(Text(f"The model against it\n{agreement}"))
    if mine.value is not None:
        labels, figure = ("trained", settings.solver), folder.path / "agreement.png"
        plot_agreement(mine, made, figure, labels=labels, agreement=agreement)
    parts.append(escape(f"Table and figure: {folder.path}"))
    document = {
        "run": str(run),
        "solver": settings.solver,
        "status": made.result.status.value,
        "message": made.result.message,
        "agreement": agreement.to_dict(),
        "folder": str(folder.path),
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
    steps = settings.steps or (20 if settings.solver == "hopf-cole" else 100)
    needed = 16.0 * float(points) ** dim * steps
    if needed > _BYTES:
        raise ValueError(
            f"`solve` got a grid of {points}^{dim} cells and {steps} steps, which takes "
            f"{needed / 1e9:,.0f} GB, expected at most {_BYTES / 1e9:.0f}: lower --points or "
            "--steps, or take --solver neural."
        )
    if settings.solver == "hopf-cole":
        return HopfCole(box, points, steps=steps)
    return Grid(box, points, steps=steps)


def _keep(folder: RunFolder, found: Solution) -> None:
    """The arrays of a solution on a lattice; others have none."""
    match found.value, found.density:
        case GridPotential() as value, GridPath() as density:
            arrays = {f"axis_{k}": axis for k, axis in enumerate(value.lattice.axes())}
            arrays["times"], arrays["value"] = np.asarray(value.times), np.asarray(value.values)
            arrays["density"] = np.asarray(density.mass) / value.lattice.volume
            folder.write_arrays("solution.npz", arrays)


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has no word for."""
    match value:
        case dict():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case float() if not math.isfinite(value):
            return None
    return value
