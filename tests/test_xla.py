"""The compiler's settings for CPUs: made on import, never over what the user has chosen."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen
from mfgen import _xla

NAME = "xla_cpu_enable_concurrency_optimized_scheduler"
SUMS = "xla_cpu_experimental_ynn_fusion_type"

# The velocities of particles before a target of 1,024 points.
PROGRAM = """
import jax
import mfgen as mg
import numpy as np

data = np.random.default_rng(0).normal(size=(1024, 2))
cost = mg.MMD(mg.Empirical(data), mg.functionals.GaussianKernel(1.0))
variation = jax.vmap(lambda x: cost.variation(mg.Empirical(data + 1.0), x))
slope = jax.jit(jax.grad(lambda xs: variation(xs).mean()))(data[:10])
print("finite:", bool((slope**2).sum() > 0))
"""


def test_importing_the_package_has_set_it():
    assert mfgen.MFG is not None
    assert f"--{NAME}=" in os.environ["XLA_FLAGS"]
    assert f"--{SUMS}=" in os.environ["XLA_FLAGS"]


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


@pytest.mark.parametrize(
    ("before", "release", "after"),
    [
        ("", "0.10.2", f"--{SUMS}=-reduce"),
        (f"--a=1 --{SUMS}=", "0.10.2", f"--a=1 --{SUMS}="),
        ("--a=1", "0.12.0", "--a=1"),
    ],
)
def test_sums_are_native_unless_the_user_chose(monkeypatch, before, release, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    monkeypatch.setattr(_xla, "version", lambda name: release)
    monkeypatch.setattr(_xla, "_has_computed", lambda: False)
    _xla.sum_natively()
    assert os.environ["XLA_FLAGS"] == after


def test_an_import_after_the_first_computation_warns(monkeypatch):
    assert jnp.ones(2).sum() == 2
    monkeypatch.setenv("XLA_FLAGS", "")
    with pytest.warns(UserWarning, match="import mfgen before the first computation"):
        _xla.sum_natively()


def test_the_sum_of_squares_of_products_is_right_in_the_last_row():
    """By kernels of another library it was wrong by a per cent, from 32,769 rows on."""
    rows = np.stack([np.arange(32_769.0), *np.zeros((2, 32_769))], axis=1)
    squares = jax.jit(lambda x: jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x))(rows)
    np.testing.assert_allclose(squares, rows[:, 0] ** 2, rtol=1e-6)


def test_gradients_of_means_over_many_particles_do_not_end_the_process():
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert (run.returncode, run.stdout) == (0, "finite: True\n"), run.stderr
