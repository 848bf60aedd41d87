"""Figures of solutions: a file for every kind of solution, and what cannot be shown is refused."""

import jax
import jax.numpy as jnp
import matplotlib.image
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear
from mfgen.games import MFG
from mfgen.metrics import Certificate, Estimate
from mfgen.metrics._check_table import Check
from mfgen.metrics._estimate import Profile
from mfgen.models import Potential
from mfgen.plot import plot_agreement, plot_certificate
from mfgen.solvers._base import Result, Solution, Status


def value(t, x):
    return x[0] - 0.5 * (1.0 - t)


GAME = MFG(Integrator(), Kinetic(), Linear(lambda x: x[0]))
RESULT = Result(Status.CONVERGED, "a formula")
PATHS = {
    "line": lambda t: Gaussian(jnp.asarray([-t]), 1.0),
    "plane": lambda t: Gaussian(jnp.asarray([-t, 0.0]), 1.0),
    "space": lambda t: Gaussian(jnp.asarray([-t, 0.0, 0.0]), 1.0),
    "particles": lambda t: Empirical(jax.random.normal(jax.random.key(0), (300, 1)) - t),
    "none": None,
}


def solution(kind):
    return Solution(GAME, Potential(value), PATHS[kind], RESULT)


def certificate(kind):
    times = jnp.asarray([0.1, 0.5, 0.9])
    profiles = {
        "HJB": Profile(times, 1e-3 * (1 + times), 1e-4 * times),
        "Fokker-Planck, weak": Profile(times, jnp.zeros(3), jnp.zeros(3)),
    }
    checks = {
        name: Check(Estimate(1e-3, 1e-4), "cost per time", Estimate(0.5, 0.0)) for name in profiles
    }
    return Certificate(solution(kind), checks, {}, profiles, 0.01)


@pytest.mark.parametrize("kind", PATHS)
def test_a_certificate_is_drawn(kind, tmp_path):
    plot_certificate(certificate(kind), tmp_path / "certificate.png")
    image = matplotlib.image.imread(tmp_path / "certificate.png")
    assert min(image.shape[:2]) > 400
    assert image[..., :3].std() > 0.05


@pytest.mark.parametrize("kind", ["line", "plane", "space", "particles"])
def test_two_solutions_are_drawn(kind, tmp_path):
    plot_agreement(solution(kind), solution(kind), tmp_path / "agreement.png", labels=("a", "b"))
    assert matplotlib.image.imread(tmp_path / "agreement.png")[..., :3].std() > 0.05


def test_two_values_without_density_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`plot_agreement` got a solution without density"):
        plot_agreement(solution("line"), solution("none"), tmp_path / "nothing.png")
