"""Real files, where they are: in `MFGEN_DATA`, or in `shared/data` beside the repository."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_file():
    default = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("MFGEN_DATA", default))

    def find(name):
        if not (root / name).exists():
            pytest.skip(f"no `{name}` in {root}: set MFGEN_DATA to the directory that has it")
        return root / name

    return find
