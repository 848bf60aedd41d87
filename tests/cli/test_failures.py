"""What ends a command is one line: of the system, of memory, and faults of mfgen itself."""

import errno
import os

import pytest

from mfgen import cli
from mfgen.lab import _failure, _listing


def raising(error):
    def run():
        raise error

    return run


@pytest.fixture
def said(ask, monkeypatch):
    """What is said, and the exit code, when a command raises an exception."""

    def run(error):
        monkeypatch.setattr(_listing, "names", raising(error))
        code, out, err = ask("list")
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return code, err.removeprefix("error: ").strip()

    return run


SYSTEM = {
    "permission": (
        PermissionError(errno.EACCES, "Permission denied", "/far/away"),
        "`/far/away`: permission denied, expected a place that can be written: change its "
        "permissions or --out.",
    ),
    "a file written under another name": (
        PermissionError(errno.EACCES, "Permission denied", "/far/.spec.toml.123.partial"),
        "`/far/spec.toml`: permission denied",
    ),
    "a file in the way": (
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "/far/file/run"),
        "`/far/file/run`: not a directory, expected a folder there",
    ),
    "a name taken": (
        FileExistsError(errno.EEXIST, "File exists", "/far/run"),
        "`/far/run`: file exists, expected a new name or a folder",
    ),
    "a long name": (
        OSError(errno.ENAMETOOLONG, "File name too long", "/far/long"),
        "`/far/long`: file name too long, expected at most 255 bytes: choose a shorter one.",
    ),
    "no room": (
        OSError(errno.ENOSPC, "No space left on device"),
        "`mfgen` could not write: no space left on device, expected room",
    ),
    "links in a circle": (
        OSError(errno.ELOOP, "Too many levels of symbolic links", "/far/loop"),
        "`/far/loop`: too many levels of symbolic links, expected a path that ends: correct the "
        "links.",
    ),
    "files open": (
        OSError(errno.EMFILE, "Too many open files", "/far/run"),
        "`/far/run`: too many open files, expected fewer: raise the limit (`ulimit -n`).",
    ),
    "anything else": (
        OSError(errno.EIO, "Input/output error", "/far/run"),
        "`/far/run`: input/output error, expected a place that can be read and written",
    ),
}


@pytest.mark.parametrize("case", SYSTEM)
def test_errors_of_the_system_are_put_into_words(said, case):
    error, expected = SYSTEM[case]
    code, line = said(error)
    assert code == 2
    assert line.startswith(expected)
    assert "Errno" not in line
    assert "partial" not in line


def test_a_file_that_cannot_be_read_is_told_from_one_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "spec.toml").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "spec.toml"))
    assert "expected a file that can be read: change its permissions" in _failure.told(error)[0]


def test_a_folder_that_cannot_be_made_is_named(refused, tiny, tmp_path):
    path = tiny(tmp_path / "spec.toml")
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    assert "not a directory" in refused("run", path, "--out", out)
    assert "file name too long" in refused("run", path, "--out", tmp_path / ("a" * 300))


def test_a_fault_of_mfgen_is_one_line_and_its_place_can_be_asked_for(said, monkeypatch):
    code, line = said(RuntimeError("first\nsecond"))
    assert code == 1
    assert line == (
        "unexpected RuntimeError: first second; set MFGEN_TRACEBACK=1 to see where, and please "
        "report it."
    )
    monkeypatch.setenv("MFGEN_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="first"):
        cli.main(["list"])


def test_an_error_that_others_raise_is_a_fault_of_mfgen(said):
    # The line of a mistake of the user is raised in mfgen; this one is not.
    code, line = said(ValueError("operands could not be broadcast"))
    assert code == 1
    assert line.startswith("unexpected ValueError: operands could not be broadcast; set")


def test_an_error_of_jax_is_a_fault_of_mfgen(ask, monkeypatch):
    import jax
    import jax.numpy as jnp

    # JAX takes its own part out of the traceback: it seems to be raised here.
    monkeypatch.setattr(_listing, "names", lambda: jax.jit(jnp.dot)(jnp.ones(2), jnp.ones(3)))
    code, _, err = ask("list")
    assert code == 1
    assert err.startswith("error: unexpected TypeError: dot_general")


class JaxRuntimeError(RuntimeError):
    """Stands for the error of JAX."""


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 800 bytes."), "800 bytes"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: allocating 2360514063 bytes."), " 2.4 GB,"),
        (MemoryError("Unable to allocate 74.5 GiB for an array"), "74.5 GiB"),
        (MemoryError(), ""),
    ],
)
def test_too_little_memory_is_said_in_words(said, error, amount):
    code, line = said(error)
    assert code == 2
    assert line.startswith("`mfgen` ran out of memory")
    assert amount in line
    assert "lower `batch_size`" in line


def test_a_word_of_another_library_is_no_diagnosis(said):
    code, line = said(OSError(errno.ENOSPC, "RESOURCE_EXHAUSTED: No space left", "/far/run"))
    assert (code, line.partition(", ")[0]) == (2, "`/far/run`: resource_exhausted: no space left")
    code, line = said(RuntimeError("RESOURCE_EXHAUSTED: no space left on device"))
    assert (code, line.partition(":")[0]) == (1, "unexpected RuntimeError")


def test_json_is_valid_where_a_number_is_not_finite(ask, monkeypatch):
    answer = _listing.Answer({"a": float("nan"), "b": [1.5, float("inf")], "é": "ü"}, "")
    monkeypatch.setattr(_listing, "names", lambda: answer)
    _, out, _ = ask("list", "--json")
    assert out == '{\n  "a": "nan",\n  "b": [\n    1.5,\n    "inf"\n  ],\n  "é": "ü"\n}\n'


def test_the_version_is_printed(ask):
    code, out, err = ask("--version")
    assert (code, err) == (0, "")
    assert out.startswith("mfgen 0.")
    assert out.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "show", "sample", "compare", "report", "demo"])
def test_help_says_each_default_once(capsys, command):
    assert cli.main([command, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"usage: mfgen {command}")
    assert page.count("--json") == 2  # in the usage and in the list


def test_a_path_that_does_not_arrive_is_told_as_it_is(said):
    error = RuntimeError("`sample` stopped at game time 0.1 on the way to 1, expected to arrive.")
    assert said(error) == (2, str(error))
    # What a compiled program raises may quote such a line, and is a fault all the same.
    code, line = said(RuntimeError(f"{error}\n--- traceback"))
    assert code == 1
    assert line.startswith("unexpected RuntimeError")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"a = " + b"[" * 5000, "is no TOML (it is nested too deeply)"),
        (b".".join([b"a"] * 3000) + b" = 1", "nested more than 40 deep"),
        (b"a = " + b"9" * 5000, "is no TOML (Exceeds the limit"),
        (b"k = 1\n" * 200_000, "has 1,200,000 bytes, expected a text of at most 1,000,000"),
        ("a".encode("utf-16"), "is no TOML (Expected '='"),
        (b"\xff\xff", "is no text"),
    ],
)
def test_a_text_that_no_reader_takes_is_refused(refused, tmp_path, text, part):
    (tmp_path / "odd.toml").write_bytes(text)
    message = refused("run", tmp_path / "odd.toml")
    assert part in message
    assert len(message) < 500


def test_what_is_no_specification_is_told_as_what_it_is(refused, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("loop", tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    assert "pipe` is a named pipe, expected a specification" in refused("run", "./pipe")
    assert "too many levels of symbolic links" in refused("run", "./loop")
    assert "`run` got '', expected a recipe or the path" in refused("run", "")
    data = ("run", "score-vp", "--data", "table", "--path")
    assert "~nosuchuser/x.csv` is not a file" in refused(*data, "~nosuchuser/x.csv")
