"""mfgen: a mean-field-games laboratory for generative models.

Declare a game, and the rest is derived from it:

    declare -> derive -> represent -> train -> sample -> measure

The verbs and what is used every day stand here; all of a kind stands in its namespace, such as
`mfgen.costs`. The names are listed in `__init__.pyi` and imported when they are asked for.
"""

from mfgen import _xla as _xla  # first of all: before anything is computed
from mfgen._facade import facade as _facade

_public, __dir__ = _facade(__name__, __file__)


def __getattr__(name: str):
    if name == "__version__":
        from importlib.metadata import version

        return version("mfgen")
    return _public(name)
