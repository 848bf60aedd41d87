"""What there is, by name: recipes, oracles and data sets, and what each stands for.

A recipe is shown as TOML that runs as it is, under comments that are derived from its game: the
equations, the optimal control, and the way of training it. JAX is imported only for that.
"""

import pathlib
import textwrap
from typing import Any

from rich.syntax import Syntax
from rich.text import Text

from mfgen.lab import _recipes
from mfgen.lab._answer import Answer, stack, table
from mfgen.oracles._named import ORACLES
from mfgen.zoo._catalogue import DATA, FILES

_COMMENT = 78  # columns of a comment above a specification, without its mark
_DIM = 2  # in which equations are written
_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
_FEW = 64  # points of a law that stands for the data


def names() -> Answer:
    """All recipes, oracles and data sets, with a line on each."""
    known = {name: document["summary"] for name, document in _recipes.documents().items()}
    exact = {name: info.summary for name, info in ORACLES.items()}
    data = {name: _known(info) for name, info in DATA.items()}
    lines = [[name, _size(info.dim), info.summary] for name, info in DATA.items()]
    columns = ["name", "what it is"]
    view = stack(
        table("Recipes", columns, known.items()),
        table("Oracles", columns, exact.items()),
        table("Data", ["name", "dimension", "what it is"], lines),
        "mfgen show NAME says more, mfgen show Kinetic of any class of mfgen; mfgen run RECIPE "
        "--data DATA trains; mfgen check NAME asks whether its game is well posed.",
    )
    return Answer({"recipes": known, "oracles": exact, "data": data}, view)


def show(source: Any) -> Answer:
    """A recipe or a file with its game, an oracle, a data set, or a class of mfgen.

    Raises:
        ValueError: for a name that is none of them.
    """
    from mfgen.lab import _find, _names

    name = source.spec
    if name in DATA or name in ORACLES:
        _find.refuse("show", source)
        return _data(name) if name in DATA else _oracle(name)
    if name not in _recipes.documents() and (made := _names.named(name)):
        _find.refuse("show", source)
        return _class(name, made[0])
    unnamed = name in _recipes.documents() and source.data in FILES and source.path is None
    if unnamed:
        source = source._replace(path=pathlib.Path("PATH"))
    others = {"an oracle": ORACLES, "a data set": DATA, "a class": _names.everything()}
    experiment = _find.found("show", source, others)
    if unnamed:
        experiment = experiment.changed({"data.path": "PATH"})
    return _experiment(experiment, source)


def _dimension(experiment: Any) -> int:
    """In which equations are written: that of the data where the game itself is of so many."""
    from mfgen.lab import _paths, _rules

    own = _rules.dimension(experiment.data)
    game = experiment.filled.get("game", {})
    lists = [part for _, part in _paths.walk(game) if type(part) is list and len(part) == own]
    vectors = any(all(type(value) in (int, float) for value in row) for row in lists)
    return own if own and vectors else _DIM


def _experiment(experiment: Any, source: Any) -> Answer:
    from mfgen.derive._symbols.equations import equations
    from mfgen.lab import _compiled, _rules, _toml
    from mfgen.lab._case import stand_in

    _compiled.keep()
    experiment = _rules.fill(experiment, _rules.OF_DATA, _rules.Context(experiment))
    with source.imports().blamed() as imports:
        size = _dimension(experiment)
        game, points = stand_in(experiment, imports, size, _FEW)
        derived = equations(game)
    dim = _rules.dimension(experiment.data)
    if dim is not None:
        context = _rules.Context(experiment, dim, game)
        experiment = _rules.fill(experiment, _rules.OF_GAME, context)
    document = experiment.shown
    head = _recipes.documents().get(source.spec) or experiment.document
    summary, reference = head.get("summary", "a game of your own"), head.get("reference")
    told = [f"{experiment.name}: {summary}", *([f"({reference})"] if reference else [])]
    lines = [part for line in told for part in textwrap.wrap(line, _COMMENT)]
    written = derived.to_dict()
    lines += [
        "",
        f"In {_COUNTS.get(size, size)} dimension{'s' * (size > 1)}:",
        *_columns(written["lines"], _COMMENT),
        *_way(game, points),
    ]
    comments = [f"# {line}".rstrip() for line in lines]
    text = _toml.dumps(document).replace(
        "[chosen]\n", "[chosen]  # for these data; chosen anew with others\n"
    )
    answer = {
        "name": source.spec,
        "summary": summary,
        "reference": reference,
        "equations": written,
        "spec": document,
    }
    return Answer(answer, stack(_listing("\n".join([*comments, "", text.rstrip()]))))


def _way(game: Any, points: Any) -> list[str]:
    """The first way of training that fits the game, in a line or two."""
    from mfgen.planning._planner import preferred

    way = preferred(game, points)
    said = "none" if way is None else f"{way.name}: {way.summary}"
    return ["", *textwrap.wrap(f"plan        {said}", _COMMENT, subsequent_indent=" " * 12)]


def _class(name: str, made: Any) -> Answer:
    """A class or a function of mfgen: how it is called, and what it says of itself."""
    import inspect

    from mfgen.lab._names import said, signature

    fields = []
    for parameter in signature(made).parameters.values():
        default = "" if parameter.default is parameter.empty else f"{parameter.default!r}"
        fields.append([parameter.name, said(parameter.annotation), default[:60]])
    words = inspect.getdoc(made) or ""
    document = {"name": name, "fields": [row[0] for row in fields], "description": words}
    view = stack(f"{name}: {words}", table("", ["field", "kind", "default"], fields))
    return Answer(document, view)


def _known(info: Any) -> dict[str, Any]:
    return {"kind": info.kind, "dim": info.dim, "summary": info.summary}


def _data(name: str) -> Answer:
    from mfgen.zoo._named_data import fields_of

    info = DATA[name]
    document = {"name": name, **_known(info)}
    lines = [
        f"{name}: {info.summary}",
        f"kind: {info.kind}, dimension: {_size(info.dim)}",
        f"fields of [data]: {', '.join(fields_of(name))}",
    ]
    if name in FILES:
        lines.append(f"a specification to start from: mfgen show RECIPE --data {name}")
    return Answer(document, "\n".join(lines))


def _oracle(name: str) -> Answer:
    """An oracle: what it is, its equations and its exact answer."""
    from mfgen.derive._symbols.equations import equations
    from mfgen.lab import _compiled
    from mfgen.oracles import _named as oracles

    _compiled.keep()
    info, made = ORACLES[name], oracles.build(name, _DIM)
    derived = equations(made.solution.game).to_dict()
    cost = None if made.cost is None else float(made.cost)
    answer = {
        "name": name,
        "summary": info.summary,
        "formula": made.formula,
        "reference": made.reference,
        "cost": cost,
        "dim": _DIM,
        "equations": derived,
    }
    told = [f"exact answer: {made.formula}"]
    if cost is not None:
        told.append(f"optimal cost in dimension {_DIM}: {cost:.6g}")
    told.append(f"reference: {made.reference}")
    view = stack(
        f"{name}: {info.summary}",
        "\n".join([derived["title"], *_columns(derived["lines"], 100)]),
        derived["reading"],
        *derived["notes"],
        "\n".join(told),
    )
    return Answer(answer, view)


def _columns(lines: dict[str, str], width: int) -> list[str]:
    """Titles and formulas in two columns of at most so many characters together."""
    column = max(map(len, lines)) + 2
    wrapped = []
    for title, formula in lines.items():
        wrapped += textwrap.wrap(
            formula,
            width,
            initial_indent=f"{title:{column}}",
            subsequent_indent=" " * column,
            break_on_hyphens=False,
        )
    return wrapped


def _listing(text: str) -> Text:
    # Lines are never broken, so that what is shown can be copied into a file. (In a group: a text
    # alone would be broken all the same.)
    listing = Syntax("", "toml", theme="ansi_light").highlight(text)
    listing.no_wrap, listing.overflow = True, "ignore"
    return listing


def _size(dim: int | None) -> str:
    return "as given" if dim is None else str(dim)
