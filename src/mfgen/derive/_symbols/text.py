"""Formulas for readers: vectors instead of components, in Unicode, ASCII and LaTeX.

    x1**2 + x2**2  ->  |x|^2        p1*x1 + p2*x2  ->  x.p        f(t, x1, x2)  ->  f(t, x)

A sum of squares or products is found by eliminating its last term: p_d^2 = |p|^2 - ... - p_{d-1}^2.
What becomes no shorter by it is left in components.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from mfgen.derive._symbols.deadline import within
from mfgen.derive._symbols.number import Expression

Form = Literal["unicode", "ascii", "latex"]
_SECONDS = 2.0
_LARGEST = 9_999_999  # of whole numbers that are written with all their digits
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Name(NamedTuple):
    """How a symbol or a function is written."""

    unicode: str
    ascii: str
    latex: str


# Symbols and functions of the theory, by the names they have in expressions.
NAMES: dict[str, Name] = {
    "rho": Name("ρ", "rho", r"\rho"),  # noqa: RUF001
    "rho_0": Name("ρ₀", "rho_0", r"\rho_0"),
    "pi": Name("π", "pi", r"\pi"),
    "phi": Name("φ", "phi", r"\varphi"),
    "multiplier": Name("ψ", "psi", r"\psi"),
    "dU/dt": Name("∂U/∂t", "dU/dt", r"\partial_t U"),
    "grad U": Name("∇U", "grad U", r"\nabla U"),
    "|grad U|": Name("|∇U|", "|grad U|", r"|\nabla U|"),
    "lap U": Name("ΔU", "lap U", r"\Delta U"),
    "sigma": Name("σ", "sigma", r"\sigma"),  # noqa: RUF001
    "drho/dt": Name("∂ρ/∂t", "drho/dt", r"\partial_t \rho"),  # noqa: RUF001
    "lap rho": Name("Δρ", "lap rho", r"\Delta \rho"),
    "x.grad U": Name("x·∇U", "x.grad U", r"x \cdot \nabla U"),
}


class Vectors(NamedTuple):
    """The vectors of a formula, by name, as tuples of symbols."""

    named: dict[str, tuple[sp.Symbol, ...]]

    def products(self) -> list[tuple[sp.Symbol, int, list[Expression]]]:
        """(symbol, power, terms): symbol^power is the sum of the terms; |x|^2, x.p, ..."""
        found = []
        items = list(self.named.items())
        for name, vector in items:
            length = sp.Symbol(f"|{name}|", positive=True)
            found.append((length, 2, [entry**2 for entry in vector]))
        for index, (first, a) in enumerate(items):
            for second, b in items[index + 1 :]:
                if len(a) == len(b):
                    terms = [i * j for i, j in zip(a, b, strict=True)]
                    found.append((sp.Symbol(f"{first}.{second}", real=True), 1, terms))
        return found


def compact(expression: Expression, vectors: Vectors) -> Expression:
    """The expression in lengths and inner products of the vectors, where that is shorter."""
    return within(_SECONDS, lambda: _compact(expression, vectors)) or expression


def factor_along(
    field: Sequence[Expression], vector: Sequence[sp.Symbol], seconds: float = _SECONDS
) -> Expression | None:
    """The c of field = c vector, or `None` if the field has another direction."""

    def find() -> Expression | None:
        if len(field) != len(vector):
            return None
        factor = sp.cancel(field[0] / vector[0])
        factor = sp.expand(factor) if sp.fraction(factor)[1].is_number else factor
        if factor.free_symbols & {vector[0]} and len(vector) == 1:
            return None
        pairs = zip(field, vector, strict=True)
        if all(sp.expand(entry - factor * direction) == 0 for entry, direction in pairs):
            return factor
        return None

    return within(seconds, find)


def written(expression: Expression, form: Form, names: dict[str, str] | None = None) -> str:
    """The formula as text; `names` replaces names of symbols first, such as |p| by |grad U|."""
    known = names or {}
    renamed = {s: sp.Symbol(known[s.name]) for s in expression.free_symbols if s.name in known}
    expression = _rounded(expression.xreplace(renamed))
    if form == "latex":
        return _Latex({"order": "none", "full_prec": False}).doprint(expression)
    text = _Text(form, {"order": "none", "full_prec": False}).doprint(expression)
    if form == "unicode":
        text = re.sub(r"\*\*(\d+)(?![\d.])", lambda m: m[1].translate(_SUPERSCRIPTS), text)
        text = text.replace("sqrt(", "√(")
    return text.replace("**", "^").replace("*", " ")


def summed(terms: Sequence[Expression], form: Form, names: dict[str, str] | None = None) -> str:
    """A sum as text whose terms stand in the order given."""
    return joined([written(term, form, names) for term in terms if term != 0])


def joined(parts: Sequence[str]) -> str:
    """Texts of terms as one sum; 0 if there are none."""
    text = parts[0] if parts else "0"
    for part in parts[1:]:
        text += f" - {part[1:].lstrip()}" if part.startswith("-") else f" + {part}"
    return text


def times(factor: Expression, name: str, form: Form, names: dict[str, str] | None = None) -> str:
    """A factor in front of what it multiplies, such as (sigma^2/2) lap U."""
    if factor.is_number and not factor.is_Float and factor.is_Rational:
        return written(factor * sp.Symbol(name, real=True), form, names)
    negative = factor.could_extract_minus_sign() and not factor.is_Add
    text = written(-factor if negative else factor, form, names)
    if factor.is_Add or (form != "latex" and "/" in text):
        text = rf"\left({text}\right)" if form == "latex" else f"({text})"
    return f"{'-' if negative else ''}{text} {written(sp.Symbol(name, real=True), form, names)}"


def _compact(expression: Expression, vectors: Vectors) -> Expression:
    expression = expression.replace(
        lambda part: isinstance(part, AppliedUndef), lambda part: _collapsed(part, vectors)
    )
    invariants, shortened = [], sp.expand(expression)
    for symbol, power, terms in vectors.products():
        rest = symbol**power - sp.Add(*terms[:-1])
        shorter = sp.expand(shortened.subs(terms[-1], rest))
        left_over = any(shorter.has(term) for term in terms[:-1])
        most = shortened.count_ops() - (power == 1 and len(terms) > 1)
        if shorter.has(symbol) and not left_over and shorter.count_ops() <= most:
            shortened = shorter
            invariants.append(symbol)
    if invariants and shortened.is_Add:
        gathered = sp.collect(shortened, [power for s in invariants for power in (s, s**2)])
        shortened = gathered if _size(gathered) <= _size(shortened) else shortened
    return shortened if invariants or _size(shortened) <= _size(expression) else expression


def _collapsed(part: Expression, vectors: Vectors) -> Expression:
    arguments = list(part.args)
    for name, vector in vectors.named.items():
        for start in range(len(arguments) - len(vector) + 1):
            if tuple(arguments[start : start + len(vector)]) == vector:
                arguments[start : start + len(vector)] = [sp.Symbol(name, real=True)]
                break
    return part.func(*arguments)


def _size(expression: Expression) -> tuple[int, int]:
    return int(expression.count_ops()), len(expression.free_symbols)


def _rounded(expression: Expression) -> Expression:
    """Numbers with at most four digits, fractions and whole numbers only where they are short."""
    # E and pi would read as an expectation and a target.
    changed = {
        number: sp.Float(number, 4) for number in expression.atoms(sp.Float, sp.NumberSymbol)
    }
    for number in expression.atoms(sp.Rational):
        decimal = number.q % 5 == 0 and not set(sp.factorint(number.q)) - {2, 5}
        long = abs(number.p) > (_LARGEST if number.is_Integer else 99)
        if long or (not number.is_Integer and (decimal or number.q > 24)):
            changed[number] = sp.Float(number, 4)
    return expression.xreplace(changed)


def _name(text: str, form: Form) -> str:
    if text in NAMES:
        return getattr(NAMES[text], form)
    derivative = re.fullmatch(r"dU/dx(\d+)", text)
    if derivative is not None and form != "ascii":
        return rf"\partial_{{{derivative[1]}}} U" if form == "latex" else f"∂U/∂x{derivative[1]}"
    variation = re.fullmatch(r"d(\w+)/drho", text)
    if variation is not None and form != "ascii":
        of = _name(variation[1], form)
        return rf"\frac{{\delta {of}}}{{\delta \rho}}" if form == "latex" else f"δ{of}/δρ"
    indexed = re.fullmatch(r"(\w+)_(\d+)", text)
    if indexed is not None:
        start = _name(indexed[1], form)
        return f"{start}_{{{indexed[2]}}}" if form == "latex" else f"{start}_{indexed[2]}"
    if form == "latex" and re.fullmatch(r"[A-Za-z]\d+", text):
        return f"{text[0]}_{{{text[1:]}}}"
    if form == "latex":
        return text.replace(".", r" \cdot ")
    return text.replace(".", "·") if form == "unicode" else text


class _Text(StrPrinter):
    def __init__(self, form: Form, settings: dict):
        super().__init__(settings)
        self._form: Form = form

    def _print_Symbol(self, expr):
        return _name(expr.name, self._form)

    def parenthesize(self, item, level, strict=False):
        text = super().parenthesize(item, level, strict)
        # A power of a derivative: (∂U/∂x2)², not the second derivative that ∂U/∂x2² looks like.
        is_quotient = isinstance(item, sp.Symbol) and "/" in text
        return f"({text})" if is_quotient and level >= PRECEDENCE["Pow"] else text

    def _print_Infinity(self, expr):  # pyright: ignore[reportIncompatibleMethodOverride]
        return "∞" if self._form == "unicode" else "inf"

    def _print_NegativeInfinity(self, expr):  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"-{self._print_Infinity(expr)}"

    def _print_Function(self, expr):
        name = _name(expr.func.__name__, self._form)
        return f"{name}({', '.join(self._print(argument) for argument in expr.args)})"


class _Latex(LatexPrinter):
    def _print_Symbol(self, expr, style="plain"):
        return _name(expr.name, "latex")

    def parenthesize(self, item, level, is_neg=False, strict=False) -> str:
        text = super().parenthesize(item, level, is_neg, strict)
        is_derivative = isinstance(item, sp.Symbol) and r"\partial" in text
        return rf"\left({text}\right)" if is_derivative and level >= PRECEDENCE["Pow"] else text

    def _print_Function(self, expr, exp=None):
        if not isinstance(expr, AppliedUndef):
            return super()._print_Function(expr, exp)
        arguments = ", ".join(self._print(argument) for argument in expr.args)
        text = rf"{_name(expr.func.__name__, 'latex')}({arguments})"
        return text if exp is None else rf"{text}^{{{exp}}}"
