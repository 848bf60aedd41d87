"""Files are read whole, verified by their raw content, and refused when damaged."""

import gzip
import hashlib

import pytest

from mfgen.data.checksum import read_content

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
