"""Figures: of solutions and their certificates, and of runs.

The names below are imported when they are asked for.
"""

from importlib import import_module as _import

_NAMES = ("plot_agreement", "plot_certificate")


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(_import("mfgen.plot.solutions"), name)
    raise AttributeError(f"module 'mfgen.plot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
