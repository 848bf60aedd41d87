"""Functions inside models, as they are pickled and copied: by the place where they are defined.

Compiled functions such as `jax.nn.silu` cannot be pickled, and a copy of one is another function to
the compiler, so that a copied model would be compiled anew. What a module holds under a name is
found there again; a function that no module holds is left to `pickle`, which says so.
"""

import importlib
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple


class Named(NamedTuple):
    """The module of a function and its name there."""

    module: str
    name: str

    def find(self) -> Any:
        """The function."""
        return reduce(getattr, self.name.split("."), importlib.import_module(self.module))


def outgoing(state: dict[str, Any], field: str) -> dict[str, Any]:
    """The state of a model with the function in one field given by name, if it has one."""
    function: Callable = state[field]
    named = Named(getattr(function, "__module__", ""), getattr(function, "__qualname__", ""))
    try:
        same = named.find() is function
    except (ImportError, AttributeError, ValueError):
        same = False
    return {**state, field: named} if same else state


def incoming(state: dict[str, Any], field: str) -> dict[str, Any]:
    """The state with the function itself in that field."""
    held = state[field]
    return {**state, field: held.find()} if isinstance(held, Named) else state
