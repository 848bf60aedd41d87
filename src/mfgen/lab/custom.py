"""Components of the user's own, named in a specification by import path.

`path = "my_module:MyLagrangian"` is the name `MyLagrangian` in `my_module.py`, looked for in the
folder of the specification and in the current folder, nowhere else. Loading it runs the file, so it
is refused unless the caller allows it (`--allow-import`): a specification from a stranger must not
be able to run code by being opened. A run keeps a copy of each file in its folder.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from mfgen.lab import spec
from mfgen.lab.failure import is_ours, is_out_of_memory


class Imports:
    """Loads components from the given folders.

    Arguments:
        folders: where modules are looked for, in this order.
        allowed: whether any may be loaded at all.
    """

    def __init__(self, folders: Sequence[Path] = (), *, allowed: bool = False):
        self.folders = tuple(dict.fromkeys(Path(folder).resolve() for folder in folders))
        self.allowed = allowed
        self._called: dict[Path, str] = {}  # path of the component by its file

    def call(self, component: "spec.Import | spec.ImportedObjective", *given: Any, **named: Any):
        """The named object, called with `given`, `named` and the component's own arguments.

        Raises:
            ValueError: if imports are not allowed, or file, name or arguments do not fit.
        """
        path = component.path
        if not self.allowed:
            raise ValueError(
                f"`{path}` is code of the specification's author, expected your leave to run it: "
                "read the file, then pass --allow-import."
            )
        _, name = path.split(":")
        file = self.file(component)
        module = _load(file)
        if name not in vars(module):
            known = ", ".join(n for n in vars(module) if not n.startswith("_"))[:200]
            raise ValueError(
                f"`{path}` names {name!r}, expected a name defined in {file} ({known}): correct "
                "the path."
            )
        self._called[file] = path
        try:
            return vars(module)[name](*given, **named, **component.arguments)
        except (Exception, SystemExit) as error:  # the code is the user's: anything may go wrong
            raise ValueError(
                f"`{path}` could not be called with the arguments of the specification "
                f"({_words(error)}), expected an object: correct `arguments`, or {file}."
            ) from error

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """While open, an exception raised in the user's code names the component and the line.

        One that a library raised names the components too: what they return may not fit.

        Raises:
            ValueError: in the place of such an exception; others pass.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            place = self._place(error.__traceback__)
            if place is not None:
                file, line = place
                raise ValueError(
                    f"`{self._called[file]}` failed ({_words(error)}), expected a component that "
                    f"can be computed with: correct line {line} of {file}."
                ) from error
            if not self._called or _is_known(error):
                raise
            names = ", ".join(f"`{path}`" for path in self._called.values())
            raise ValueError(
                f"{names} may not fit its place ({_words(error)}), expected components as "
                "CONTRIBUTING.md describes them: check the shape and type of what they return."
            ) from error

    def _place(self, where: TracebackType | None) -> tuple[Path, int] | None:
        """The innermost line of the user's code that was running; `None` if none was."""
        place = None
        while where is not None:
            file = Path(where.tb_frame.f_code.co_filename)
            place = (file, where.tb_lineno) if file in self._called else place
            where = where.tb_next
        return place

    def file(self, component: "spec.Import | spec.ImportedObjective") -> Path:
        """The file that holds a component."""
        module = component.path.split(":")[0]
        inside = Path(*module.split(".")).with_suffix(".py")
        for folder in self.folders:
            if (folder / inside).is_file():
                return folder / inside
        places = " or ".join(str(folder) for folder in self.folders) or "no folder"
        raise ValueError(
            f"`{component.path}` is looked for as {inside}, expected it in {places}: put the file "
            "beside the specification (installed packages are not searched)."
        )


def components(part: Any) -> Iterator["spec.Import | spec.ImportedObjective"]:
    """The imported components in a specification, in order."""
    if isinstance(part, (spec.Import, spec.ImportedObjective)):
        yield part
    elif isinstance(part, msgspec.Struct):
        for field in part.__struct_fields__:
            yield from components(getattr(part, field))
    elif isinstance(part, tuple):
        for member in part:
            yield from components(member)


def expect(value: Any, kind: type, part: spec.Part) -> Any:
    """The value; raises a `TypeError` in the name of the part if it is of another kind."""
    if isinstance(value, kind):
        return value
    name = (
        part.path
        if isinstance(part, (spec.Import, spec.ImportedObjective))
        else type(part).__name__
    )
    raise TypeError(
        f"`{name}` gave a `{type(value).__name__}`, expected an `{kind.__name__}`: name a subclass "
        "of it, or a function that returns one."
    )


def _load(file: Path):
    # One module for each file, however often it is named: classes must be the same objects.
    name = f"mfgen_custom_{abs(hash(str(file)))}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ValueError(f"`{file}` is no Python file, expected one: correct the path.")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's: anything may go wrong
        del sys.modules[name]
        raise ValueError(
            f"`{file}` could not be loaded ({_words(error)}), expected a file that can be run: "
            "correct it."
        ) from error
    return module


def _is_known(error: BaseException) -> bool:
    """Whether an exception says by itself what is wrong, or nothing about components."""
    return is_ours(error) or is_out_of_memory(error) or isinstance(error, OSError)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")
