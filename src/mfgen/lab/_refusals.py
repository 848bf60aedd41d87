"""What is said of a document whose classes cannot be made, after the path of the field.

`game.lagrangian.sped` is no field of `Relativistic`: did you mean `speed`?
`game.lagrangian.speed`: `Relativistic` got speed = -1.0, expected ...
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from mfgen._check import shortened
from mfgen._near import near
from mfgen.lab._failure import is_out_of_memory
from mfgen.lab._imports import words


def refuse_field(
    name: str, path: str, maker: Callable, known: set[str], fields: Mapping[str, Any]
) -> NoReturn:
    """Says that a class has no such field, or none that a document gives."""
    where = f"{path}.{name}" if path != "$" else name
    if name == "key":
        raise ValueError(
            f"`{where}` got {fields[name]!r:.40}, expected none in a document, where keys follow "
            "from `seed`: remove it."
        )
    free = ", ".join(sorted(known - {"key", *fields})) or "none"
    advice = near(name, known - {"key"}, f"its fields are {free}.")
    raise ValueError(f"`{where}` is no field of `{maker.__name__}`: {advice}")


def tried(make: Callable[[], Any], path: str, maker: Callable, fields: Mapping[str, Any]) -> Any:
    """What is made, or the words of what refused to be made, after the path of the field.

    What another library says of a class of mfgen is of no help to who wrote the document: it is
    told what the class got. A class of the user's own may fail in any way, and says how.
    """
    try:
        return make()
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error).startswith("`") else ""
        if not reason and maker.__module__.split(".")[0] == "mfgen":
            got = ", ".join(f"{name} = {shortened(value)}" for name, value in fields.items())
            reason = f"`{maker.__name__}` got {got or 'nothing'}, expected what it can be made of"
            reason = f"{reason}: correct it, `mfgen show {maker.__name__}` tells its fields."
        reason = reason or f"`{getattr(maker, '__name__', maker)}` failed: {words(error)}"
        raise ValueError(f"`{field_of(reason, path, fields)}`: {reason}") from error


def field_of(reason: str, path: str, fields: Iterable[str]) -> str:
    """The path of the field that an error speaks of, or that of the whole."""
    speaks = lambda name: re.search(rf"\bgot (an? |the )?`?{name}\b|\b{name} = ", reason)
    return next((f"{path}.{name}" for name in fields if name and speaks(re.escape(name))), path)
