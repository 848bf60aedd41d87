"""Namespaces whose names are imported when they are asked for.

A package lists its public names in its `__init__.pyi`, each with its place, which type checkers
read as it stands. Nothing that stands on JAX is loaded before it is needed.
"""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


@cache
def _places(file: str) -> dict[str, str]:
    """The module of each public name of a package."""
    with open(f"{file.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:
        lines = [line for line in ast.parse(stub.read()).body if isinstance(line, ast.ImportFrom)]
    return {name.name: str(line.module) for line in lines for name in line.names}


def facade(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package, by its `__name__` and `__file__`."""

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return list(_places(file))
        if name.startswith("_") or name not in _places(file):
            raise AttributeError(f"module '{package}' has no attribute {name!r}")
        place = _places(file)[name]
        if place == package:  # a namespace below
            return import_module(f"{package}.{name}")
        value = getattr(import_module(place), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted(_places(file))

    return __getattr__, __dir__
