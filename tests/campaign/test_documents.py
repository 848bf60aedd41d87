"""Many documents that something happened to: each is taken, or refused in one line with the place.

What a command is given is checked up to where a run takes its folder; nothing is on the disk then.
Run with `-s` to see the counts.
"""

import contextlib
import io
import re
import warnings

import pytest
from tests.campaign import documents
from tests.campaign.tally import Refused, Tally

from mfgen import cli
from mfgen.lab import _run, _spec

pytestmark = pytest.mark.slow

# Words that only other libraries say, or Python itself.
OTHERS = re.compile(
    r"beartype|jaxtyping|msgspec|equinox|jax\.|numpy|Traceback|unexpected|please report|Error\b"
    r"|dtype|broadcast|Tracer|<class|keyword argument|positional argument|has no attribute"
    r"|object is not|not supported between|unhashable|NoneType|ShapeDtype|\bArray\("
)
SAID = re.compile(r"expected|did you mean|its fields are|remove it|save it|check the path")
HEADS = (*_spec.SECTIONS, "objective", "name", "seed", "format", "summary", "reference")


class Claimed(BaseException):
    """A run that would begin now."""


@pytest.fixture(autouse=True)
def _up_to_the_folder(monkeypatch, tmp_path):
    def claimed(*arguments, **options):
        raise Claimed

    monkeypatch.setattr(_run, "claimed", claimed)
    monkeypatch.chdir(tmp_path)


def outcome(command, document, folder):
    """What a command says of a document: nothing where it takes it, else its line.

    Raises:
        AssertionError: if it ends in any other way, or says anything beside.
    """
    (folder / "my.toml").write_bytes(document.content)
    options = [word for setting in document.settings for word in ("--set", setting)]
    options += ["--out", str(folder / "out")] if command == "run" else []
    out, err = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("error", UserWarning)
        try:
            code = cli.main([command, str(folder / "my.toml"), *options])
        except Claimed:
            code = 0
    assert [path.name for path in folder.iterdir()] == ["my.toml"], "it left something"
    assert code in (0, 2), f"{command}: exit {code}: {err.getvalue()[:300]}"
    return err.getvalue() if code else ""


def fault(line, document):
    """What is wrong with a refusal, beside its length."""
    said = line.removeprefix("error: ").strip()
    if OTHERS.search(said.replace("solvers.Grid", "")):
        return f"words of others: {said[:300]}"
    if not SAID.search(said):
        return f"nothing that was expected: {said[:300]}"
    # The place of the field or of a table above it; or of the losses, which it does not fit.
    top = re.split(r"[.\[]", document.path or "")[0]
    places = (top, "objective") if top in HEADS else (*HEADS, top, "/", "my.toml")
    if not any(f"`{place}" in said for place in places):
        return f"no place, for {document.path}: {said[:300]}"
    return None


def campaign(name, commands, seeds, folder):
    tally = Tally(name)

    def attempt(seed):
        document = documents.mutated(seed)
        for command in commands:
            line = outcome(command, document, folder)
            if line and (wrong := fault(line, document)):
                return f"{command}: {wrong}"
            if line:
                raise Refused(line)
        return None

    tally.run(seeds, attempt)
    print(tally)  # noqa: T201
    assert not tally.bad, str(tally)


@pytest.fixture
def warm(tmp_path):
    """Has every part imported, so that its time is not that of the first document."""
    whole = documents.Document(documents.text(documents.bases()["score-vp"]).encode())
    for command in ("run", "show", "plan", "check"):
        outcome(command, whole, tmp_path)


def test_documents_that_are_run(warm, tmp_path):
    campaign("documents that are run", ["run"], range(300), tmp_path)


def test_documents_that_are_asked_about(warm, tmp_path):
    campaign("documents that are asked about", ["show", "plan"], range(300, 380), tmp_path)


def test_documents_that_are_checked(warm, tmp_path):
    campaign("documents that are checked", ["check"], range(380, 400), tmp_path)


@pytest.mark.parametrize("name", documents.bases())
def test_what_is_mutated_is_taken(name, tmp_path):
    whole = documents.Document(documents.text(documents.bases()[name]).encode())
    assert outcome("run", whole, tmp_path) == ""
