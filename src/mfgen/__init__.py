"""mfgen: a mean-field-games laboratory for generative models.

Declare a game, and the rest is derived from it:

    declare -> derive -> represent -> train -> sample -> measure

The names are listed in `__init__.pyi`, each with its place, and imported when they are asked for:
nothing that stands on JAX is loaded before it is needed.
"""

import ast as _ast
from importlib import import_module as _import_module

from mfgen import _xla as _xla  # first of all: before anything is computed


def _places() -> dict[str, str]:
    """The module of each public name; the floors, such as `metrics`, are in `mfgen` itself."""
    with open(f"{__file__.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:
        lines = [line for line in _ast.parse(stub.read()).body if isinstance(line, _ast.ImportFrom)]
    return {name.name: str(line.module) for line in lines for name in line.names}


_PLACES = _places()
__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    """A public name, from its place, and kept; and the release, `__version__`."""
    if name == "__version__":
        from importlib.metadata import version

        value = version("mfgen")
    elif name not in _PLACES:
        raise AttributeError(f"module 'mfgen' has no attribute {name!r}")
    elif _PLACES[name] == "mfgen":
        return _import_module(f"mfgen.{name}")
    else:
        value = getattr(_import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES, "__version__"})
