"""What is public is listed, is there, and says what it is; all else begins with an underscore."""

import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import mfgen

ROOT = Path(__file__).parents[2]
SPACES = [name for name in mfgen.__all__ if inspect.ismodule(getattr(mfgen, name))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
PAGES += ROOT.glob("examples/*.py")


def test_the_top_is_short_and_the_namespaces_are_the_folders():
    assert len(mfgen.__all__) <= 60
    found = list(pkgutil.iter_modules(mfgen.__path__))
    folders = {module.name for module in found if module.ispkg}
    assert folders == set(SPACES)
    plain = {m.name for m in found if not m.ispkg and not m.name.startswith("_")}
    assert plain == {"cli"}


def test_the_tree_in_the_readme_is_the_tree():
    tree = (ROOT / "README.md").read_text("utf-8").split("```\nmfgen\n")[1].split("```")[0]
    assert {line.split()[0] for line in tree.splitlines()} == {*SPACES, "cli"}


@pytest.mark.parametrize("space", SPACES)
def test_a_namespace_lists_what_is_there_and_hides_the_rest(space):
    namespace = getattr(mfgen, space)
    assert namespace.__doc__
    assert dir(namespace) == sorted(namespace.__all__)
    for name in namespace.__all__:
        thing = getattr(namespace, name)
        assert thing is getattr(namespace, name)
        assert not callable(thing) or inspect.getdoc(thing), f"mfgen.{space}.{name} says nothing"
    for module in pkgutil.iter_modules(namespace.__path__):
        assert module.name.startswith("_"), f"mfgen.{space}.{module.name} looks public"
    with pytest.raises(AttributeError, match=f"module 'mfgen.{space}' has no attribute 'Nothing'"):
        namespace.Nothing  # noqa: B018


def test_a_name_at_the_top_is_one_of_a_namespace():
    listed = {id(getattr(getattr(mfgen, space), name)) for space in SPACES
              for name in getattr(mfgen, space).__all__}  # fmt: skip
    for name in set(mfgen.__all__) - set(SPACES):
        assert id(getattr(mfgen, name)) in listed, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_and_examples_use_what_is_public(page):
    text = page.read_text("utf-8")
    assert not re.search(r"(from|import) mfgen\S*\._", text)
    for space, name in re.findall(r"\bmg\.(?:(\w+)\.)?([A-Za-z]\w*)", text):
        holder = getattr(mfgen, space) if space in SPACES else mfgen
        assert hasattr(holder, space if space and space not in SPACES else name), (space, name)
