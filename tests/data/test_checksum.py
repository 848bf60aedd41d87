"""Files are read whole, verified by their raw content, and refused when damaged."""

import errno
import gzip
import hashlib
import os
import tracemalloc

import pytest

from mfgen.data._checksum import read_content
from mfgen.math import _memory

CONTENT = b"raw content" * 1000


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "file.bin.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


def test_the_digest_is_the_one_of_the_raw_content(packed):
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert read_content(packed, sha256=digest.upper()) == CONTENT
    with pytest.raises(ValueError, match=rf"sha256 {digest}, expected 00.*fetch the file again"):
        read_content(packed, sha256="00")


def test_a_file_without_compression_is_read_as_it_is(tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    assert read_content(tmp_path / "file.bin") == CONTENT


def test_damaged_and_missing_files_are_refused(packed, tmp_path):
    whole = packed.read_bytes()
    for damaged in (whole[:-20], b"not gzip", whole[:30] + b"\0\0\0\0" + whole[34:]):
        packed.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is not a whole gzip file .*: fetch it again"):
            read_content(packed)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="is empty: fetch it again"):
        read_content(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"is not a file: check the path"):
        read_content(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (os.mkdir, "a folder"),
        (lambda path: os.symlink("/dev/zero", path), "a device"),
    ],
)
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path, make, kind):
    make(tmp_path / "odd.csv")
    with pytest.raises(ValueError, match=rf"odd\.csv` is {kind}, expected a file: name the file"):
        read_content(tmp_path / "odd.csv")


def test_a_path_that_leads_nowhere_is_told_by_the_system(tmp_path):
    (tmp_path / "file").touch()
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    for path, number in (
        (tmp_path / "loop", errno.ELOOP),
        (tmp_path / ("n" * 300), errno.ENAMETOOLONG),
        (tmp_path / "file" / "x.csv", errno.ENOTDIR),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            read_content(path)
        assert caught.value.errno == number
    with pytest.raises(ValueError, match="is no path"):
        read_content(f"{tmp_path}/a\0b")


@pytest.mark.parametrize("tail", [b"", gzip.compress(b"x", mtime=0)], ids=["alone", "two parts"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused_and_not_taken(tmp_path, tail):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb") as stream:
        for _ in range(90):
            stream.write(bytes(10**6))
    # The size of what was packed last stands at the end: small, where more was put behind it.
    path.write_bytes(path.read_bytes() + tail)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"unpacks to more than 67\.1 MB, expected at most 100"):
        read_content(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < (10**8 if tail else 10**7)


def test_data_that_do_not_fit_into_memory_are_refused_before_they_are_read(packed, monkeypatch):
    monkeypatch.setattr(_memory, "free", lambda: 1e4)
    with pytest.raises(ValueError, match=r"takes 66 kB of memory, expected at most the 10 kB"):
        read_content(packed)
