"""The nearest of several names, as advice at the end of an error."""

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    """The advice `did you mean ...?`, or another where no name is near."""
    lowered = {word.lower(): word for word in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"did you mean `{lowered[found[0]]}`?" if found else otherwise
