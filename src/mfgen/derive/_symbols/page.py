"""The equations of a game as lines of text, and in plain English.

Vectors are written as vectors wherever a formula depends on them by lengths and inner products
only; U and rho by their derivatives dt U, grad U, lap U.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sympy as sp

from mfgen.derive._boundary import boundary_lines
from mfgen.derive._symbols.functionals import Reading, has_multiplier
from mfgen.derive._symbols.number import Expression
from mfgen.derive._symbols.text import (
    Form,
    Vectors,
    compact,
    factor_along,
    joined,
    summed,
    times,
    written,
)
from mfgen.math._space import AbstractDomain


class Parts(NamedTuple):
    """The parts of the equations: H, v* where it is known, g and sigma."""

    hamiltonian: Expression
    control: tuple[Expression, ...] | None
    gain: sp.Matrix
    sigma: Expression | sp.Matrix


def spread(parts: Parts, dim: int) -> list[tuple[int, int, Expression]]:
    """(i, j, c) with i <= j, c not zero: the terms c d^2/dx_i dx_j of tr(sigma sigma^T Hess)/2."""
    if not isinstance(parts.sigma, sp.Matrix):
        half = parts.sigma**2 / 2
        return [(i, i, half) for i in range(dim)] if half != 0 else []
    square = (parts.sigma * parts.sigma.T).applyfunc(sp.simplify)
    terms = [(i, j, square[i, j] / (2 if i == j else 1)) for i in range(dim) for j in range(i, dim)]
    return [term for term in terms if term[2] != 0]


@dataclass(frozen=True)
class Equations:
    """The equations of a game as SymPy objects, printed in vectors by `str`, `latex` and notebooks.

    Attributes:
        dim, horizon: dimension of the space, final time T.
        discount: the rate r; U is the current value if it is not zero.
        t, x, v, p: time, place, control and costate as symbols, vectors as tuples.
        value, density: the undefined functions U(t, x) and rho(t, x), applied.
        drift, gain, sigma: a as a tuple, g as a matrix `[dim, control]`, sigma as a number or a
            matrix `[dim, noise]`.
        lagrangian: L(t, x, v).
        hamiltonian: H(t, x, p); the undefined function H if no closed form was found.
        control: v*(t, x, p) as a tuple; `None` if no closed form was found.
        hjb, fokker_planck, terminal, initial: equations.
        interaction, terminal_cost: I and M with their first variations.
        brief: the same with names for what is long, which `shorthand` explains.
        notes: what could not be written out, and why.
        title: of the page that is printed.
        domain: where particles live.
    """

    dim: int
    horizon: Expression
    discount: Expression
    t: sp.Symbol
    x: tuple[sp.Symbol, ...]
    v: tuple[sp.Symbol, ...]
    p: tuple[sp.Symbol, ...]
    value: Expression
    density: Expression
    drift: tuple[Expression, ...]
    gain: sp.Matrix
    sigma: Expression | sp.Matrix
    lagrangian: Expression
    hamiltonian: Expression
    control: tuple[Expression, ...] | None
    hjb: Expression
    fokker_planck: Expression
    terminal: Expression
    initial: Expression
    interaction: Reading
    terminal_cost: Reading
    brief: Parts
    shorthand: tuple[tuple[sp.Symbol, Expression], ...]
    notes: tuple[str, ...]
    title: str
    domain: AbstractDomain

    @property
    def is_closed(self) -> bool:
        """Whether the Hamiltonian was found in closed form."""
        return self.control is not None

    @property
    def is_noisy(self) -> bool:
        """Whether there is any noise."""
        return bool(spread(self.brief, self.dim))

    def residual(self, u: Expression) -> Expression:
        """The HJB residual, left minus right side, of an expression u in t and x."""
        return (self.hjb.lhs - self.hjb.rhs).subs(self.value, u).doit()

    def lines(self, form: Form = "unicode") -> list[tuple[str, str]]:
        """(title, formula) of each line, in the order in which a game is declared and solved."""
        write = lambda expression: written(_vectors(expression, self), form)
        named = self.shorthand
        found = [
            ("dynamics", _dynamics(self, form)),
            ("Lagrangian", f"L = {summed(_terms(_vectors(self.lagrangian, self), 'v'), form)}"),
            ("interaction cost", f"I = {write(self.interaction.value)}"),
            ("terminal cost", f"M = {write(self.terminal_cost.value)}"),
            ("discount", _discount(self, form)),
            ("Hamiltonian", f"H = {_hamiltonian(self, form)}"),
            ("optimal control", _steering(self, form)),
            ("HJB equation", _hjb(self, form)),
            ("at the end", " = ".join(map(write, self.terminal.args))),
            ("Fokker-Planck", _transport(self, form)),
            ("at the start", " = ".join(map(write, self.initial.args))),
            *boundary_lines(self.domain, form),
            ("where", ", ".join(f"{written(s, form)} = {written(e, form)}" for s, e in named)),
        ]
        return [(title, text) for title, text in found if text]

    @property
    def reading(self) -> str:
        """The equations in a paragraph of plain English."""
        noise = "with noise" if self.is_noisy else "without noise"
        order = "second" if self.is_noisy else "first"
        end = written(self.horizon, "ascii")
        said = [
            f"Particles in dimension {self.dim} are steered {noise} from t = 0 to t = {end}.",
            f"The Hamilton-Jacobi-Bellman equation, of {order} order, runs backwards: the cost to "
            "go U is known at the end, from the terminal cost.",
        ]
        if self.domain.bounded:
            said[0] += f" They live on {self.domain}."
        if has_multiplier([self.terminal.rhs]):
            said[1] = (
                f"The Hamilton-Jacobi-Bellman equation, of {order} order, runs backwards from an "
                "end that is not given: U(T) is whatever brings the particles to their prescribed "
                "law."
            )
        if self.is_closed:
            said.append(
                "Every particle goes down the slope of U, at the speed that its cost allows."
            )
        if self.discount != 0:
            said.append(
                f"What is paid at time t counts {_discount(self, 'ascii')}, and U is the current "
                "value: the cost to go as it counts at the time at which it is taken."
            )
        said.append(
            "The Fokker-Planck equation runs forwards: it carries the population along that "
            "control."
        )
        depends = [
            name
            for name, part in (("I", self.interaction), ("M", self.terminal_cost))
            if part.depends
        ]
        if depends:
            said.append(
                f"The two are coupled: the first variation of {' and of '.join(depends)} depends "
                "on the population, so they have to be solved together."
            )
        else:
            said.append(
                "The first does not see the population: it is solved first, and the second after "
                "it."
            )
        return " ".join(said)

    def latex(self) -> str:
        """An `aligned` block, without dollar signs."""
        rows = [rf"\text{{{title}}} &\quad {text}" for title, text in self.lines("latex")]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def to_dict(self) -> dict[str, Any]:
        """The page as plain data for JSON, its formulas in ASCII."""
        return {
            "title": self.title,
            "lines": dict(self.lines("ascii")),
            "latex": self.latex(),
            "reading": self.reading,
            "notes": list(self.notes),
        }

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        lines = self.lines()
        width = max(len(title) for title, _ in lines)
        body = [f"{title:{width}}  {text}" for title, text in lines]
        return "\n".join([self.title, "", *body, "", self.reading, *self.notes])


def _vectors(expression: Expression, derived: Equations) -> Expression:
    return compact(expression, Vectors({"x": derived.x, "v": derived.v, "p": derived.p}))


def _slopes(derived: Equations) -> dict[str, str]:
    """The costate's symbols written as those of grad U."""
    components = {entry.name: f"dU/dx{i + 1}" for i, entry in enumerate(derived.p)}
    return {"|p|": "|grad U|", "x.p": "x.grad U", "p": "grad U", **components}


def _dynamics(derived: Equations, form: Form) -> str:
    space = r"\," if form == "latex" else " "
    free = _field(derived.drift, "x", derived.x, derived, form)
    steered = _times_control(derived, "v", form)
    drift = " + ".join(part for part in (free, steered) if part)
    text = f"dX = {f'[{drift}]' if free else drift}{space}dt"
    if not derived.is_noisy:
        return text
    sigma = derived.brief.sigma
    if isinstance(sigma, sp.Matrix):
        return f"{text} + {_matrix(sigma, form)}{space}dW"
    noise = "" if sigma == 1 and form != "latex" else space
    size = "" if sigma == 1 else _bracketed(sigma, form)
    return f"{text} + {size}{noise}dW"


def _times_control(derived: Equations, control: str, form: Form) -> str:
    gain = derived.brief.gain
    if gain.is_square and gain == gain[0, 0] * sp.eye(gain.rows):
        return control if gain[0, 0] == 1 else f"{_bracketed(gain[0, 0], form)} {control}"
    return f"{_matrix(gain, form)} {control}"


def _matrix(matrix: sp.Matrix, form: Form) -> str:
    return sp.latex(matrix) if form == "latex" else str(matrix.tolist())


def _bracketed(factor: Expression, form: Form) -> str:
    text = written(factor, form)
    return f"({text})" if factor.is_Add else text


def _hamiltonian(derived: Equations, form: Form) -> str:
    if derived.is_closed:
        return summed(_terms(_vectors(derived.brief.hamiltonian, derived)), form)
    sup, dot = (r"\sup_v\; ", r" \cdot ") if form == "latex" else ("sup over v of ", ".")
    return f"{sup} -p{dot}(a + g v) - L"


def _steering(derived: Equations, form: Form) -> str:
    control = derived.brief.control
    if control is None:
        return ""
    steered = _field(control, "p", derived.p, derived, form, _slopes(derived))
    return f"{_optimal(form)} = {steered or '0'}"


def _optimal(form: Form) -> str:
    return "v^*" if form == "latex" else "v*"


def _hjb(derived: Equations, form: Form) -> str:
    names = _slopes(derived)
    if derived.is_closed:
        energy = _terms(_vectors(derived.brief.hamiltonian, derived))
    else:
        energy = [sp.Function("H")(*[sp.Symbol(name) for name in ("t", "x", "p")])]
    terms = (-sp.Symbol("dU/dt"), derived.discount * sp.Symbol("U"), *energy)
    parts = [written(term, form, names) for term in terms if term != 0]
    parts += _second_order(derived, -1, "U", form)
    right = _vectors(derived.interaction.variation, derived)
    return f"{joined(parts)} = {written(right, form)}"


def _discount(derived: Equations, form: Form) -> str:
    """The weight of what is paid at time t; nothing where there is no discount."""
    if derived.discount == 0:
        return ""
    return written(sp.exp(-derived.discount * derived.t), form)


def _transport(derived: Equations, form: Form) -> str:
    free = _field(derived.drift, "x", derived.x, derived, form)
    control = derived.brief.control
    if control is None:
        steered = _times_control(derived, _optimal(form), form)
    else:
        steered = _field(
            list(derived.brief.gain * sp.Matrix(control)), "p", derived.p, derived, form,
            _slopes(derived),
        )  # fmt: skip
    velocity = joined([part for part in (free, steered) if part])
    start, rho = (written(sp.Symbol(name), form) for name in ("drho/dt", "rho"))
    dot = {"unicode": "∇·", "ascii": "div", "latex": r"\nabla \cdot "}[form]
    text = f"{start} + {dot}({rho} [{velocity}])"
    return f"{text} = {joined(_second_order(derived, 1, 'rho', form))}"


def _second_order(derived: Equations, sign: int, function: str, form: Form) -> list[str]:
    """The terms of tr(sigma sigma^T Hess)/2: a Laplacian where all coordinates have one noise."""
    terms = spread(derived.brief, derived.dim)
    if not isinstance(derived.brief.sigma, sp.Matrix):
        return [times(sign * c, f"lap {function}", form) for _, _, c in terms[:1]]
    name = written(sp.Symbol(function), form)
    return [times(sign * c, _second(name, i + 1, j + 1, form), form) for i, j, c in terms]


def _second(function: str, i: int, j: int, form: Form) -> str:
    if form == "latex":
        along = rf"\partial_{{x_{i}}}^2" if i == j else rf"\partial_{{x_{i}}} \partial_{{x_{j}}}"
        return f"{along} {function}"
    d, square = ("∂", "²") if form == "unicode" else ("d", "^2")
    below = f"{d}x{i}{square}" if i == j else f"{d}x{i} {d}x{j}"
    return f"{d}{square}{function}/{below}"


def _field(
    field: Sequence[Expression],
    name: str,
    vector: Sequence[sp.Symbol],
    derived: Equations,
    form: Form,
    names: dict[str, str] | None = None,
) -> str:
    """A vector field: a factor times a vector if it has that direction, else its components."""
    if all(entry == 0 for entry in field):
        return ""
    factor = factor_along(field, vector)
    if factor is not None:
        return times(_vectors(factor, derived), name, form, names)
    parts = [written(_vectors(entry, derived), form, names) for entry in field]
    return f"({', '.join(parts)})"


def _terms(expression: Expression, vector: str = "p") -> list[Expression]:
    """The terms of a sum, those with the costate, or another vector, first."""
    holds = lambda term: any(vector in symbol.name for symbol in term.free_symbols)
    return sorted(sp.Add.make_args(expression), key=lambda term: (not holds(term), str(term)))
