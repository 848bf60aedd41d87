"""The compiler's setting for CPUs: made on import, never over what the user has chosen."""

import os

import pytest

import mfgen
from mfgen import _xla

NAME = "xla_cpu_enable_concurrency_optimized_scheduler"


def test_importing_the_package_has_set_it():
    assert mfgen.MFG is not None
    assert f"--{NAME}=" in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("before", "release", "after"),
    [
        ("", "0.10.2", f"--{NAME}=false"),
        ("--a=1", "0.11.0", f"--a=1 --{NAME}=false"),
        (f"--{NAME}=true", "0.10.2", f"--{NAME}=true"),
        ("--a=1", "0.12.0", "--a=1"),
        ("", "1.0", ""),
    ],
)
def test_the_users_choice_and_unknown_releases_are_left_alone(monkeypatch, before, release, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    monkeypatch.setattr(_xla, "version", lambda name: release)
    _xla.order_sequentially()
    assert os.environ["XLA_FLAGS"] == after
