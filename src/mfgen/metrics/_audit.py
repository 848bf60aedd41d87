"""The checks of a certificate, one group after the other.

Each writes its numbers into the table with their units and the scale that makes them fractions,
or the reason why there is none. The theory is in `mfgen.metrics._certificate`.
"""

from mfgen._types import Key
from mfgen.densities._base import AbstractDensity
from mfgen.derive import _action
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._functional import needs_log_density
from mfgen.math._quadrature import Rule
from mfgen.metrics._check_table import QUADRATURE, CheckTable
from mfgen.metrics._domain import mass
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._strong import (
    Places,
    fokker_planck_residual,
    hjb_residual,
    terminal_mismatch,
)
from mfgen.metrics._weak import law_mismatch, weak_residual
from mfgen.simulate._particle_path import ParticlePath
from mfgen.simulate._solution import Solution

# What adding a function of time to U does not change.
UP_TO_TIME = "HJB, up to a function of time"
# What is not judged where log rho(T) is an estimate.
END = "the end"
KERNELS = "of a kernel estimate of log rho, whose own error it holds"
_NO_LAW = (
    "its cost asks for log rho(T), which is a kernel estimate of samples, and what is wrong with "
    "that counts as much as what is wrong with U: declare the law of the data, `initial=density`, "
    "of which a flow without noise has an exact density"
)


def equations(table: CheckTable, solution: Solution, places: Places, rule: Rule) -> None:
    """HJB and Fokker-Planck equation, point by point and in the mean."""
    density = lambda: _action.path("certify", solution)
    found = {
        "HJB": lambda key: hjb_residual(solution, rule, places, key=key),
        "Fokker-Planck, strong": lambda key: fokker_planck_residual(
            solution, density(), rule, places, key=key
        ),
        "Fokker-Planck, weak": lambda key: weak_residual(solution, density(), key=key),
    }
    units = ("cost per time", "per time", "probability")
    for (name, compute), unit in zip(found.items(), units, strict=True):
        residual = table.tried(name, compute)
        if residual is not None:
            table.add(name, residual.overall, unit, residual.scale)
            table.profiles[name] = residual.profile
            if name == "HJB" and residual.around is not None:
                table.add(UP_TO_TIME, residual.around, unit, residual.scale)


def ends(table: CheckTable, solution: Solution, places: Places) -> None:
    """The density at the start, and what holds at the end."""
    game = solution.game
    if game.initial is None:
        table.missing["initial"] = "the game declares no initial density"
    else:
        _law(table, solution, "initial", 0.0, game.initial)
    if isinstance(game.terminal, Prescribed):
        _law(table, solution, "terminal", game.dynamics.horizon, game.terminal.target)
        return
    found = table.tried("terminal", lambda key: terminal_mismatch(solution, places, key=key))
    if found is not None:
        scale, basis = found.scale, ""
        if end_by_kernels(solution):
            scale, basis, table.missing[END] = None, KERNELS, _NO_LAW
        table.add("terminal", found.overall, "cost", basis=basis)
        table.add("terminal, up to a constant", found.spread, "cost", scale, basis)


def end_by_kernels(solution: Solution) -> bool:
    """Whether dM/drho is that of a kernel estimate of particles: it says little about U(T).

    For M = c KL a relative error e of the estimate is one of c e in dM/drho, for the exact solution
    too, and U(T) itself need not be larger.
    """
    game, path = solution.game, solution.density
    if not (isinstance(path, ParticlePath) and path.smoothed) or game.terminal.constrains:
        return False
    return needs_log_density(game.terminal, path.points.shape[-1])


def _law(
    table: CheckTable, solution: Solution, name: str, t: float, prescribed: AbstractDensity
) -> None:
    def missed(key: Key) -> Estimate:
        law = _action.path("certify", solution)(t)
        return law_mismatch(law, prescribed, solution.game.domain, key=key)

    found = table.tried(name, missed)
    if found is not None:
        table.add(name, found, "probability", 1.0)


def masses(table: CheckTable, solution: Solution, rule: Rule, domain: Rule | None) -> None:
    """The mass furthest from one over the game."""

    def defect(_: Key) -> Estimate:
        density = _action.path("certify", solution)
        found = [mass(density(t), domain) - 1 for t in rule.nodes.tolist()]
        return Estimate(max(found, key=abs), 0.0)

    found = table.tried("mass - 1", defect)
    if found is not None:
        table.add("mass - 1", found, "probability", 1.0, QUADRATURE)
