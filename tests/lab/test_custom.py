"""Components of the user's own: run with leave alone, from the user's files alone."""

from pathlib import Path

import pytest

from mfgen.lab import recipes, spec
from mfgen.lab.custom import Imports, components

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


def part(path, **arguments):
    return spec.Import(path=path, arguments=arguments)


def test_nothing_is_run_without_leave(folder):
    with pytest.raises(ValueError, match="pass --allow-import"):
        Imports([folder]).call(part("mine:Speed"))
    assert not (folder / "ran").exists()


def test_a_component_is_called_with_its_arguments(folder):
    imports = Imports([folder], allowed=True)
    assert imports.call(part("mine:Speed", limit=3.0)).limit == 3.0
    assert imports.call(part("inner.deep:Speed")).limit == 1.0


def test_one_file_is_one_module(folder):
    imports = Imports([folder], allowed=True)
    assert type(imports.call(part("mine:Speed"))) is type(imports.call(part("mine:Speed")))


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("absent:Speed", "put the file beside the specification"),
        ("os:getcwd", "installed packages are not searched"),
        ("mine:Sped", r"names 'Sped', expected a name defined in .*Speed"),
        ("broken:Speed", "ZeroDivisionError: division by zero"),
        ("leaving:Speed", r"leaving\.py` could not be loaded \(SystemExit: 3\)"),
        ("mine:fails", r"`mine:fails` could not be called .*\(RuntimeError: no such thing\)"),
        ("mine:leaves", r"`mine:leaves` could not be called .*\(SystemExit: 3\)"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        Imports([folder], allowed=True).call(part(path))


def test_wrong_arguments_are_named(folder):
    with pytest.raises(ValueError, match="correct `arguments`"):
        Imports([folder], allowed=True).call(part("mine:Speed", limits=3.0))


def test_no_folder_is_searched_twice(folder, monkeypatch):
    monkeypatch.chdir(folder)
    imports = Imports([Path(), folder, folder / "inner" / ".."], allowed=True)
    assert imports.folders == (folder.resolve(),)


def test_an_error_in_a_component_names_it_and_its_line(folder):
    imports = Imports([folder], allowed=True)
    speed = imports.call(part("mine:Speed"))
    with (
        pytest.raises(ValueError, match=r"`mine:Speed` failed \(ZeroDivisionError: .*line 10 of"),
        imports.blamed(),
    ):
        speed(0)


def test_an_error_of_a_library_names_the_components_in_use(folder):
    imports = Imports([folder], allowed=True)
    with pytest.raises(ZeroDivisionError), imports.blamed():
        raise ZeroDivisionError
    imports.call(part("mine:Speed"))
    with (
        pytest.raises(ValueError, match=r"`mine:Speed` may not fit its place .ZeroDivisionError"),
        imports.blamed(),
    ):
        raise ZeroDivisionError
    for known in (ValueError("`fit` got 3"), OSError(28, "No space left"), MemoryError()):
        with pytest.raises(type(known)) as caught, imports.blamed():
            raise known
        assert caught.value is known


def test_all_components_of_a_specification_are_found():
    experiment = spec.replace(
        recipes.experiment("score-vp"),
        game=spec.ScoreGame(noising=part("a:N"), lagrangian=part("b:L")),
        model=part("c:M"),
        objective=(spec.Denoising(), spec.ImportedObjective(path="d:O")),
    )
    assert [component.path for component in components(experiment)] == ["a:N", "b:L", "c:M", "d:O"]
    assert list(components(recipes.experiment("score-vp"))) == []
