"""Code of the user's own, named in a document as `my_module:MyCost`.

That is the name `MyCost` in `my_module.py`, looked for in the folder of the document and in the
current folder, nowhere else. Loading it runs the file, so it is refused unless the caller allows it
(`--allow-import`): a document from a stranger must not be able to run code by being opened. A run
keeps a copy of each file in its folder.
"""

import contextlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mfgen.lab._failure import is_ours, is_out_of_memory

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Imports:
    """Loads code from the given folders.

    Arguments:
        folders: where modules are looked for, in this order.
        allowed: whether any may be loaded at all.
    """

    def __init__(self, folders: Sequence[Path] = (), *, allowed: bool = False):
        self.folders = tuple(dict.fromkeys(Path(folder).resolve() for folder in folders))
        self.allowed = allowed
        self.loaded: dict[Path, str] = {}  # what was named first in each file

    def load(self, path: str) -> Any:
        """The class or function of that name.

        Raises:
            ValueError: if imports are not allowed, or there is no such file or name.
        """
        if not _PATH.fullmatch(path):
            raise ValueError(
                f"`{path}` is no name of your own code, expected `module:Name`, the name of a file "
                "without .py and what it defines: correct it."
            )
        if not self.allowed:
            raise ValueError(
                f"`{path}` is code of the specification's author, expected your leave to run it: "
                "read the file, then pass --allow-import."
            )
        name, file = path.split(":")[1], self.file(path)
        module = _load(file)
        if name not in vars(module):
            known = ", ".join(n for n in vars(module) if not n.startswith("_"))[:200]
            raise ValueError(
                f"`{path}` names {name!r}, expected a name defined in {file} ({known}): correct "
                "the path."
            )
        self.loaded.setdefault(file, path)
        return vars(module)[name]

    def file(self, path: str) -> Path:
        """The file that a name is in."""
        inside = inner(path)
        for folder in self.folders:
            if (folder / inside).is_file():
                return folder / inside
        places = " or ".join(str(folder) for folder in self.folders) or "no folder"
        raise ValueError(
            f"`{path}` is looked for as {inside}, expected it in {places}: put the file "
            "beside the specification (installed packages are not searched)."
        )

    @contextlib.contextmanager
    def blamed(self) -> Iterator["Imports"]:
        """While open, an exception raised in the user's code names the code and the line.

        One that a library raised names the code too: what it returns may not fit.

        Raises:
            ValueError: in the place of such an exception; others pass.
        """
        try:
            yield self
        except (Exception, SystemExit) as error:
            place = self._place(error.__traceback__)
            if place is not None:
                file, line = place
                raise ValueError(
                    f"`{self.loaded[file]}` failed ({words(error)}), expected a component that "
                    f"can be computed with: correct line {line} of {file}."
                ) from error
            told = is_ours(error) or is_out_of_memory(error) or isinstance(error, OSError)
            if not self.loaded or told:
                raise
            names = ", ".join(f"`{path}`" for path in self.loaded.values())
            raise ValueError(
                f"{names} may not fit its place ({words(error)}), expected components as "
                "CONTRIBUTING.md describes them: check the shape and type of what they return."
            ) from error

    def _place(self, where: TracebackType | None) -> tuple[Path, int] | None:
        """The innermost line of the user's code that was running; `None` if none was."""
        place = None
        while where is not None:
            file = Path(where.tb_frame.f_code.co_filename)
            place = (file, where.tb_lineno) if file in self.loaded else place
            where = where.tb_next
        return place


def inner(path: str) -> Path:
    """The file of a name, as seen from the folder that it is looked for in."""
    return Path(*path.split(":")[0].split(".")).with_suffix(".py")


def words(error: BaseException) -> str:
    """The kind of an exception and its first line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".strip(": ")


def _load(file: Path):
    # One module for each file, however often it is named: classes must be the same objects.
    name = f"mfgen_custom_{abs(hash(str(file)))}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None
    assert found.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's: anything may go wrong
        del sys.modules[name]
        raise ValueError(
            f"`{file}` could not be loaded ({words(error)}), expected a file that can be run: "
            "correct it."
        ) from error
    return module
