"""One class of the user's own for each family, named in one TOML file, and nothing else changed."""

import pytest

from mfgen.lab import _run, _toml
from mfgen.lab._imports import Imports

CODE = """
import equinox as eqx
import jax
import jax.numpy as jnp

import mfgen as mg


class Cosh(mg.costs.AbstractLagrangian):
    c: float = 2.0

    def __call__(self, t, x, v):
        return self.c**2 * (jnp.cosh(jnp.sqrt(v @ v + 1e-12) / self.c) - 1)


class Drifting(mg.dynamics.AbstractDynamics):
    horizon: float = 1.0

    @property
    def deterministic(self):
        return True

    def free(self, t, x):
        return -0.1 * x

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return jnp.asarray(0.0)


class Spread(mg.functionals.AbstractFunctional):
    scale: float = 1.0

    def value(self, rho):
        points, weights = rho.particles()
        return -0.01 * self.scale * weights @ jnp.sum(points**2, axis=1)


class Target(mg.functionals.AbstractFunctional):
    place: float = 0.0

    def value(self, rho):
        points, weights = rho.particles()
        return weights @ jnp.sum((points - self.place) ** 2, axis=1)


class Law(mg.densities.AbstractEvaluable):
    dim: int
    width: float = 1.0

    def log_density(self, x):
        return -0.5 * x @ x / self.width**2

    def sample(self, n, *, key):
        return self.width * jax.random.normal(key, (n, self.dim))

    def moments(self):
        return jnp.zeros(self.dim), self.width**2 * jnp.eye(self.dim)

    def particles(self):
        points = self.sample(256, key=jax.random.key(0))
        return points, jnp.full(256, 1 / 256)


class Line(mg.models.AbstractPotential):
    slope: jax.Array

    def __call__(self, t, x):
        return self.slope @ x + 0.5 * x @ x


def line(game, *, key):
    return Line(0.1 * jax.random.normal(key, (game.initial.dim,)))


class Size(mg.losses.AbstractObjective):
    regularises = True

    def needs_data(self, game):
        return False

    def __call__(self, game, model, batch, *, key):
        return jnp.sum(model.slope**2)


def spread(samples, data):
    return float(samples.std() - data.std())


class Twice(mg.simulate.AbstractSampler):
    inner: mg.simulate.ProbabilityFlow = mg.simulate.ProbabilityFlow(mg.simulate.RungeKutta4(4))

    def check(self, game):
        self.inner.check(game)

    def __call__(self, game, model, x, *, key):
        return self.inner(game, model, x, key=key)
"""
DOCUMENT = """
name = "mine"
[data]
name = "density"
density = { type = "mine:Law", width = 2.0 }
dim = 2
samples = 64
[game]
dynamics = { type = "mine:Drifting" }
lagrangian = { type = "mine:Cosh", c = 3.0 }
interaction = { type = "mine:Spread", weight = 0.5 }
terminal = [{ type = "mine:Target", place = 0.5 }, { type = "Entropy", weight = 0.0 }]
initial = { type = "mine:Law" }
[model]
type = "mine:line"
[[objective]]
type = "GameCost"
[[objective]]
type = "mine:Size"
weight = 0.01
[training]
steps = 4
every = 2
batch_size = 16
[evaluation]
samples = 20
points = 20
sampler = { type = "mine:Twice" }
metrics = ["energy_distance", "mine:spread"]
figures = false
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


def test_a_class_for_each_family_runs_from_toml(own, tmp_path):
    with pytest.raises(ValueError, match="pass --allow-import"):
        _run.run(_toml.read(own), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    imports = Imports([tmp_path], allowed=True)
    done = _run.run(_toml.read(own), tmp_path / "run", imports=imports)
    assert set(done.summary["metrics"]) == {"energy_distance", "mine:spread"}
    assert (tmp_path / "run" / "custom" / "mine.py").is_file()
    # The run keeps the code that it needs.
    (tmp_path / "mine.py").unlink()
    again = Imports([tmp_path / "run" / "custom"], allowed=True)
    assert _run.sample(_run.load(tmp_path / "run", again), 5, seed=0).shape == (5, 2)


def test_without_an_objective_the_plan_trains(own, tmp_path):
    text = own.read_text("utf-8")
    start, end = text.index("[model]"), text.index("[training]")
    own.write_text(text[:start] + text[end:].replace("batch_size = 16\n", ""), encoding="utf-8")
    imports = Imports([tmp_path], allowed=True)
    done = _run.run(_toml.read(own), tmp_path / "run", imports=imports)
    assert done.case.experiment.chosen["training.learning_rate"] == 2e-2
    assert "GameCost" in done.folder.records()[0]["terms"]
