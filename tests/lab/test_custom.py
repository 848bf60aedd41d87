"""Components of the user's own: run with leave alone, from the user's files alone."""

from pathlib import Path

import pytest

from mfgen.lab._document import Given, build
from mfgen.lab._imports import Imports

SOURCE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()

class Speed:
    def __init__(self, limit=1.0):
        self.limit = limit

    def __call__(self, x):
        return 1 / x

def fails():
    raise RuntimeError("no such thing")

def leaves():
    raise SystemExit(3)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "inner" / "deep.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(3)", encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    return tmp_path


def call(imports, path, **arguments):
    """The object of a table that names code of the user's own."""
    return build({"type": path, **arguments}, path="model", given=Given(imports=imports))


def test_nothing_is_run_without_leave(folder):
    with pytest.raises(ValueError, match="pass --allow-import"):
        call(Imports([folder]), "mine:Speed")
    assert not (folder / "ran").exists()


def test_a_component_is_called_with_its_arguments(folder):
    imports = Imports([folder], allowed=True)
    assert call(imports, "mine:Speed", limit=3.0).limit == 3.0
    assert call(imports, "inner.deep:Speed").limit == 1.0


def test_one_file_is_one_module(folder):
    imports = Imports([folder], allowed=True)
    assert type(call(imports, "mine:Speed")) is type(call(imports, "mine:Speed"))


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("absent:Speed", "put the file beside the specification"),
        ("os:getcwd", "installed packages are not searched"),
        ("mine:Sped", r"names 'Sped', expected a name defined in .*Speed"),
        ("broken:Speed", "ZeroDivisionError: division by zero"),
        ("leaving:Speed", r"leaving\.py` could not be loaded \(SystemExit: 3\)"),
        ("mine:fails", r"`model`: `fails` failed: RuntimeError: no such thing"),
        ("mine:leaves", r"`model`: `leaves` failed: SystemExit: 3"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(Imports([folder], allowed=True), path)


def test_wrong_arguments_are_named(folder):
    with pytest.raises(ValueError, match=r"`model.limits` is no field .*did you mean `limit`"):
        call(Imports([folder], allowed=True), "mine:Speed", limits=3.0)


def test_no_folder_is_searched_twice(folder, monkeypatch):
    monkeypatch.chdir(folder)
    imports = Imports([Path(), folder, folder / "inner" / ".."], allowed=True)
    assert imports.folders == (folder.resolve(),)


def test_an_error_in_a_component_names_it_and_its_line(folder):
    imports = Imports([folder], allowed=True)
    speed = call(imports, "mine:Speed")
    with (
        pytest.raises(ValueError, match=r"`mine:Speed` failed \(ZeroDivisionError: .*line 10 of"),
        imports.blamed(),
    ):
        speed(0)


def test_an_error_of_a_library_names_the_components_in_use(folder):
    imports = Imports([folder], allowed=True)
    with pytest.raises(ZeroDivisionError), imports.blamed():
        raise ZeroDivisionError
    call(imports, "mine:Speed")
    with (
        pytest.raises(ValueError, match=r"`mine:Speed` may not fit its place .ZeroDivisionError"),
        imports.blamed(),
    ):
        raise ZeroDivisionError
    for known in (ValueError("`fit` got 3"), OSError(28, "No space left"), MemoryError()):
        with pytest.raises(type(known)) as caught, imports.blamed():
            raise known
        assert caught.value is known
