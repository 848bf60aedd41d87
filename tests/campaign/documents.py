"""What may be wrong in a document: names, kinds, numbers, places, and the text itself.

Everything is drawn from a seed. A value stands in the text as TOML would have it, so that what no
TOML holds can be tried as well; a field is one that its class knows, whether it is written or not.
"""

import copy
import random
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any, NamedTuple

from mfgen.lab import _names, _toml

NUMBERS = [
    *("0", "-1", "1", "3", "0.5", "2.5", "-0.0", "1e-30", "1e30", "1e300", "-1e9", "nan", "inf"),
    *("1000000000000", "9223372036854775807", "1000000000000000000000000000", "true", "false"),
]
WORDS = [
    *('""', '" "', '"x"', '"1"', '"data"', '"samples"', '"reference"', '"energy"', '"none"'),
    *('"Kinetic"', '"AbstractLagrangian"', '"_Private"', '"solvers.Grid"', '"costs.Kinetc"'),
    *('"my_module:Mine"', '":"', '"a:b:c"', '"../up:x"', '"Größe"', '"\\u0000"', '"{}"', '"[red]"'),
]
NESTED = [
    *("[]", "{}", "[1, 2]", "[[1.0, 0.0], [0.0, 1.0]]", "[1, [2]]", '["a", 1]', "[nan]", "[[]]"),
    *("{ type = 3 }", '{ type = "" }', '{ type = "Kinetic", type2 = 1 }', "{ a = { b = 1 } }"),
    *('{ type = "KL", target = "data" }', '{ weight = "x" }', '["data", "data"]', "{ type = [] }"),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[1, 2, 3, 4, 5, 6, 7]", "[true, false]"),
]
VALUES = [*NUMBERS, *NUMBERS, *WORDS, *NESTED]
PLACE = "@@value@@"

OWN = {
    "crowd": """
        [game]
        dynamics = { type = "Integrator", sigma = 0.5 }
        lagrangian = { type = "Relativistic", speed = 4.0 }
        interaction = { type = "CrowdAversion", weight = 0.1 }
        terminal = { type = "SinkhornDivergence", target = "data", weight = 20.0 }
        initial = { type = "Gaussian", mean = 0.0, covariance = 1.0 }
        """,
    "sum": """
        [game]
        dynamics = { type = "Integrator", horizon = 2.0 }
        lagrangian = { type = "Power", exponent = 4.0 }
        interaction = [{ type = "MMD", target = "samples" }, { type = "Entropy", weight = 0.1 }]
        terminal = { type = "KL", target = "data", weight = 3.0 }
        initial = "reference"
        [[objective]]
        type = "GameCost"
        """,
    "second-order": """
        [game]
        dynamics = { type = "Underdamped" }
        lagrangian = "Kinetic"
        terminal = { type = "MeanTarget", target = [1.0, 0.0, 0.0, 0.0] }
        initial = { type = "Gaussian", mean = [0.0, 0.0, 0.0, 0.0], covariance = 1.0 }
        """,
}
_ENERGETIC = ("boltzmann", "langevin", "svgd", "gradient-flow")
_SMALL = """
[data]
name = "gaussians8"
samples = 60
[training]
steps = 1
[evaluation]
samples = 20
points = 10
figures = false
"""


class Document(NamedTuple):
    """A document that something happened to.

    Attributes:
        content: of the file.
        settings: of `--set`.
        path: of what was changed, if it was one field.
    """

    content: bytes
    settings: tuple[str, ...] = ()
    path: str | None = None


def bases() -> dict[str, dict[str, Any]]:
    """All recipes and some games of one's own, as small as they can be."""
    files = resources.files("mfgen").joinpath("recipes").iterdir()
    found = {f.name[:-5]: f.read_text("utf-8") for f in files if f.name.endswith(".toml")}
    documents = {}
    for name, text in sorted((found | OWN).items()):
        document: dict[str, Any] = tomllib.loads(text)
        for section, usual in tomllib.loads(_SMALL).items():
            document[section] = document.get(section, {}) | usual
        if name in _ENERGETIC:
            document["data"] = {"name": "double-well"}
        if name == "jko":
            document["training"]["steps"] = 6  # one of each block
        if name == "second-order":
            document["data"] = {"name": "product", "dim": 4, "samples": 60}
        documents[name] = document
    return documents


def mutated(seed: int) -> Document:
    """A document with one change, sometimes two."""
    rng = random.Random(seed)
    known = bases()
    document = known[list(known)[seed % len(known)]]
    change = rng.choice(CHANGES)
    return change(copy.deepcopy(document), rng)


def text(document: dict[str, Any], value: str = "") -> str:
    """The document as TOML, with a value in its place."""
    return _toml.dumps(document).replace(f'"{PLACE}"', value)


def tables(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All tables within tables, by their paths."""
    match part:
        case dict():
            yield path, part
            for name, inner in part.items():
                yield from tables(inner, f"{path}.{name}".lstrip("."))
        case list():
            for index, inner in enumerate(part):
                yield from tables(inner, f"{path}[{index}]")


def fields(path: str, table: dict[str, Any]) -> list[str]:
    """The fields that a table has, and those that its class knows."""
    implied = {"game": "MFG", "training": "Gradient"}
    made = _names.named(str(table.get("type", implied.get(path, ""))))
    known = [] if not made else list(_names.signature(made[0]).parameters)
    known += {"evaluation": ["metrics", "against", "sampler", "likelihood"]}.get(path, [])
    known += {"data": ["split", "dim", "columns", "validation"]}.get(path, [])
    known += {"training": ["every", "checkpoint_every", "early_stopping"]}.get(path, [])
    return sorted({*known, *table})


def inside(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")


def another_value(document, rng):
    """A field has another value."""
    path, table = rng.choice(list(tables(document)))
    name = rng.choice(fields(path, table))
    table[name] = PLACE
    return Document(text(document, rng.choice(VALUES)).encode(), (), inside(path, name))


def another_number(document, rng):
    """A number of a class has another value."""
    places = [(p, t, n) for p, t in tables(document) if p for n in fields(p, t) if n != "type"]
    path, table, name = rng.choice(places)
    table[name] = PLACE
    return Document(text(document, rng.choice(NUMBERS)).encode(), (), inside(path, name))


def set_value(document, rng):
    """The same by `--set`."""
    path, table = rng.choice(list(tables(document)))
    where = inside(path, rng.choice(fields(path, table)))
    return Document(text(document).encode(), (f"{where}={rng.choice(VALUES)}",), where)


def set_anything(document, rng):
    """A setting that leads nowhere."""
    odd = ["", "=", "a", "a=", "=3", ".=1", "a..b=1", "[0]=1", "game[0]=1", "objective[99].x=1"]
    odd += ["data.name.x=1", "game.dynamics.sigma.x=2", "objective=[]", "objective[-1].weight=2"]
    odd += ["training.steps=1e3", "seed=-1", "seed=0.5", "name=../x", "a.b.c.d=[", "chosen.x=1"]
    odd += ["format=1", "summary=3", "game=3", "data=[]", "model.width=None", "game.type=jko"]
    odd += ["chosen.model.scale=2", "objective.HJB.weight=x", "x" * 2000 + "=1", "é.ü=1"]
    return Document(text(document).encode(), (rng.choice(odd),))


def misspell(document, rng):
    """A field has a name with a mistake."""
    path, table = rng.choice([(p, t) for p, t in tables(document) if t])
    name = rng.choice(list(table))
    wrong = [name[:-1], name + "s", name.upper(), name[1:], f"_{name}", "größe", "", " "]
    wrong = rng.choice(wrong)
    table[wrong] = table.pop(name)
    return Document(text(document).encode(), (), inside(path, wrong))


def retype(document, rng):
    """A class is another one, of any family."""
    table = rng.choice([t for _, t in tables(document) if "type" in t])
    known = [n for space in _names.namespaces() for n in dir(space) if n[0] != "_"]
    odd = ["", "Abstract", "_Base", table["type"].lower(), table["type"][:-1], "Kinetic()"]
    table["type"] = rng.choice([rng.choice(known), rng.choice(known), rng.choice(odd)])
    return Document(text(document).encode())


def replace(document, rng):
    """A class is another one of its family."""
    table = rng.choice([t for _, t in tables(document) if "type" in t])
    made = _names.named(table["type"])[0]
    family = [c for c in getattr(made, "__mro__", ()) if c.__name__.startswith("Abstract")]
    table["type"] = rng.choice(_names.members(rng.choice(family)) if family else ["KL"])
    return Document(text(document).encode())


def bare(document, rng):
    """A table is gone, empty, or has no type."""
    path, table = rng.choice([(p, t) for p, t in tables(document) if t])
    name = rng.choice(list(table))
    if rng.random() < 0.5:
        del table[name]
    else:
        table[name] = {} if type(table[name]) is dict else []
    return Document(text(document).encode(), (), inside(path, name))


def terms(document, rng):
    """The terms of the objective are others."""
    known = document.get("objective", [{"type": "GameCost"}])
    odd = [[], {}, [known[0]] * 2, [*known, {}], [{"type": "HJB"}], [{"weight": 1.0}], "HJB"]
    odd += [[known[0] | {"select": s}] for s in ([], [1.0], [0.1, 1.0], "x", [-1, 0], [[1]])]
    odd += [[rng.choice([{"type": "GameCost"}, {"type": n}]) for n in rng.sample(known_terms(), 2)]]
    document["objective"] = rng.choice(odd)
    return Document(text(document).encode())


def known_terms() -> list[str]:
    from mfgen.losses import AbstractObjective

    return _names.members(AbstractObjective)


def data(document, rng):
    """The data are others."""
    odd = [
        *({"name": n} for n in ("nothing", "table", "mnist", "energy", "density", "digits", "")),
        {"name": "table", "path": "nowhere.csv"},
        {"name": "table", "path": "/dev/null", "columns": [0, "x"]},
        {"name": "gaussians8", "dim": 3},
        {"name": "mixture20", "dim": 0},
        {"name": "energy", "dim": 2},
        {"name": "product", "dim": 3, "samples": 60},
        {"name": "product", "dim": 4, "samples": 60},
        {"name": "density", "density": "Gaussian", "samples": 60},
        {"name": "density", "density": "Kinetic", "dim": 2, "samples": 60},
        {"name": "gaussians8", "samples": 1},
        {"name": "gaussians8", "samples": 60, "validation": 0.999},
        {"name": "double-well", "dim": 5},
    ]
    document["data"] = rng.choice(odd)
    return Document(text(document).encode())


def spoil(document, rng):
    """The text is no TOML, or no text."""
    whole = text(document).encode()
    one, two = sorted(rng.randrange(len(whole) + 1) for _ in range(2))
    deep, many = b"[" * 3000 + b"]" * 3000, b"".join(b"k%d = 1\n" % n for n in range(60_000))
    return Document(
        rng.choice(
            [
                b"\xef\xbb\xbf" + whole,
                whole.decode().encode("utf-16"),
                whole.replace(b"\n", b"\r\n"),
                whole.replace(b"\n", b"\r"),
                whole[:one] + b"\xff" + whole[one:],
                whole[:one] + b"\0" + whole[one:],
                whole[:one],
                whole[one:],
                whole[:one] + whole[two:],
                whole + whole[one:two],
                whole + b"\n[game]\n",
                whole + b"\n[nothing]\nx = 1\n",
                b"x = 3\n" + whole,
                b"x = " + deep + b"\n" + whole,
                b"name = " + b"9" * 5000 + b"\n" + whole,
                b'name = "' + b"a" * 1_000_000 + b'"\n' + whole,
                whole + b"\n#" + b"c" * 1_000_000,
                many + whole,
                b".".join([b"a"] * 3000) + b" = 1\n" + whole,
                b"",
            ]
        )
    )


CHANGES: list[Callable[..., Document]] = [
    *[another_value] * 5, *[another_number] * 6, *[set_value] * 3, *[replace] * 3, *[retype] * 2,
    set_anything, misspell, misspell, bare, terms, data, spoil, spoil,
]  # fmt: skip
