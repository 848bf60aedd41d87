"""Energies of one's own on the command line: trained, judged, and refused where they are broken."""

import numpy as np
import pytest

from mfgen.lab import _toml, assemble
from mfgen.lab._context import Context, NotApplicable
from mfgen.lab._imports import Imports
from mfgen.lab._measures import METRICS, measure

BOWL = """
import jax.numpy as jnp
from mfgen.densities._energy import Unnormalised

def bowl(scale=1.0, wall=1e9, dim=2):
    return Unnormalised(lambda x: jnp.where(x[0] > wall, jnp.inf, 0.5 * x @ x / scale**2), dim)
"""
OWN = """
name = "own"
[data]
name = "energy"
dim = 2
[game]
dynamics = "Integrator"
lagrangian = "Kinetic"
terminal = {{ type = "KL", target = {{ type = "mine:bowl", {arguments} }} }}
initial = "reference"
[model]
type = "ot_flow_potential"
width = 4
[[objective]]
type = "ReverseKL"
[[objective]]
type = "TransportCost"
paths = {{ starts = "initial" }}
[training]
steps = {steps}
batch_size = 16
learning_rate = 1e-2
[evaluation]
samples = 400
metrics = ["effective_samples", "normaliser", "normaliser_error", "mmd", "inverse_error"]
figures = false
"""


@pytest.fixture
def own(tmp_path):
    """Writes a specification with an energy of one's own."""

    def write(arguments="", steps=2):
        (tmp_path / "mine.py").write_text(BOWL, encoding="utf-8")
        path = tmp_path / "own.toml"
        path.write_text(OWN.format(arguments=arguments, steps=steps), encoding="utf-8")
        return path

    return write


def test_an_energy_of_ones_own_is_trained_and_judged(own, ask, tmp_path):
    out = tmp_path / "run"
    code, told, err = ask("run", own("scale = 0.8", steps=30), "--allow-import", "--out", out)
    assert code == 0, err
    for words in ("effective samples", "log Z", "no samples", "inverse error"):
        assert words in " ".join(told.split())
    assert (out / "custom" / "mine.py").is_file()


def test_log_z_of_an_energy_of_ones_own_is_right(own):
    path = own("scale = 0.8")
    case = assemble(_toml.read(path), Imports([path.parent], allowed=True))
    judged = Context(case)
    found, _ = measure(METRICS["normaliser"], judged)
    assert abs(found.value - np.log(2 * np.pi * 0.8**2)) < 4 * found.standard_error
    with pytest.raises(NotApplicable, match="density of the data is not known"):
        measure(METRICS["normaliser_error"], judged)
    with pytest.raises(NotApplicable, match="an energy, of which there are no samples"):
        measure(METRICS["mmd"], judged)


def test_an_energy_that_is_not_finite_is_one_line_and_no_folder(own, refused, tmp_path):
    out = tmp_path / "run"
    line = refused("run", own("wall = 1.0"), "--allow-import", "--out", out)
    assert "`ReverseKL` got an energy that is inf at the point [" in line
    assert "replace walls by a steep smooth potential" in line
    assert not out.exists()


def test_an_energy_in_other_dimensions_is_refused(own, refused, tmp_path):
    line = refused("run", own("dim = 3"), "--allow-import", "--out", tmp_path / "run")
    assert "dimensions" in line


def test_a_game_of_energies_needs_one(ask, tmp_path):
    code, _, err = ask("run", "boltzmann", "--data", "iris", "--out", tmp_path / "run")
    assert code == 2
    assert "error: `game.terminal.target` got 'energy', but the law of these data" in err
    assert not (tmp_path / "run").exists()
