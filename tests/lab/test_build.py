"""From names to objects: every kind of part, and components of the user's own."""

import jax
import jax.numpy as jnp
import pytest

from mfgen.density.gaussian import isotropic
from mfgen.lab import build, recipes, spec, toml
from mfgen.lab.custom import Imports
from mfgen.models.base import AbstractModel
from mfgen.problem.cost import Relativistic, ScoreLagrangian
from mfgen.problem.dynamics import Integrator
from mfgen.problem.noising import VE, VP, SubVP
from mfgen.trainers import collocation, laplacian, matching, penalty, shorthands
from mfgen.trainers.likelihood import MaximumLikelihood
from mfgen.trainers.noised import Levels, LogUniform
from mfgen.trainers.weighting import RatioPower

TARGET = isotropic(jnp.zeros(2), 1.0)
NONE = Imports()

SOURCE = """
import equinox as eqx
import jax.numpy as jnp
from mfgen.models.base import Potential
from mfgen.problem.lagrangian import AbstractLagrangian
from mfgen.problem.noising import VE
from mfgen.trainers.objective import AbstractObjective

class Quartic(AbstractLagrangian):
    strength: float = 1.0

    def __call__(self, t, x, v):
        return self.strength * jnp.vdot(v, v) ** 2 / 4

class Nothing(AbstractObjective):
    value: float

    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(self.value)

def noising(largest):
    return VE(largest_ratio=largest)

def model(game, *, key, slope):
    return Potential(lambda t, x: slope * jnp.sum(x))
"""


@pytest.fixture
def imports(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    return Imports([tmp_path], allowed=True)


def test_each_noising_keeps_its_numbers():
    vp = build.game(spec.ScoreGame(noising=spec.VP(beta_max=7.0)), TARGET, NONE)
    assert vp.dynamics.noising == VP(beta_max=7.0)
    assert isinstance(vp.lagrangian, ScoreLagrangian)
    assert build.component(spec.VE(largest_ratio=3.0), NONE) == VE(largest_ratio=3.0)
    assert build.component(spec.SubVP(), NONE) == SubVP()


def test_a_cost_can_replace_that_of_a_score_game():
    game = build.game(spec.ScoreGame(lagrangian=spec.Relativistic(speed=4.0)), TARGET, NONE)
    assert isinstance(game.lagrangian, Relativistic)
    assert game.lagrangian.speed == 4.0
    assert game.initial is not None


def test_a_game_of_dynamics_and_cost():
    part = spec.ControlGame(
        dynamics=spec.Integrator(sigma=0.5), lagrangian=spec.Power(exponent=3.0)
    )
    game = build.game(part, TARGET, NONE)
    assert game.dynamics == Integrator(sigma=0.5)
    assert game.lagrangian.exponent == 3.0
    assert game.terminal.target is TARGET


def test_every_objective_is_built_with_its_weight():
    parts = (
        spec.Denoising(law=spec.Levels(levels=(0.1, 1.0))),
        spec.Implicit(weight=2.0),
        spec.Sliced(slices=3),
        spec.HJB(
            weight=0.5,
            penalty=spec.Huber(delta=2.0),
            collocation=spec.SpreadData(extra=0.1, law=spec.LogUniform(low=0.2)),
            laplacian=spec.Exact(),
            points=7,
        ),
        spec.HJB(
            weight=0.1,
            laplacian=spec.Hutchinson(count=3),
            collocation=spec.UniformTime(),
            weighting=spec.RatioPower(exponent=-1.0),
        ),
        spec.ScoreHJB(weight=0.2, points=5),
        spec.Likelihood(),
    )
    built = build.objective(parts, NONE)
    assert built.parts == (
        (1.0, matching.DenoisingScoreMatching(Levels((0.1, 1.0)))),
        (2.0, matching.ImplicitScoreMatching()),
        (1.0, matching.SlicedScoreMatching(3)),
        (
            0.5,
            shorthands.HJB(
                penalty.Huber(2.0),
                collocation.SpreadData(0.1, LogUniform(low=0.2)),
                laplacian.Exact(),
                7,
            ),
        ),
        (
            0.1,
            shorthands.HJB(
                collocation=collocation.UniformTime(),
                laplacian=laplacian.Hutchinson(3),
                weighting=RatioPower(-1.0),
            ),
        ),
        (0.2, shorthands.ScoreHJB(points=5)),
        (1.0, MaximumLikelihood()),
    )


def test_an_open_weight_is_refused():
    with pytest.raises(ValueError, match="pass the specification through `resolve`"):
        build.objective((spec.HJB(laplacian=spec.Exact()),), NONE)


def test_a_weight_to_be_chosen_is_named_for_the_training():
    parts = (spec.Denoising(), spec.HJB(select=(0.5, 0.0)), spec.HJB(weight=2.0))
    built = build.objective(parts, NONE)
    assert [weight for weight, _ in built.parts] == [1.0, 0.5, 2.0]
    assert build.selection(parts, built) == {"HJB": (0.5, 0.0)}
    assert build.selection(parts[::2], build.objective(parts[::2], NONE)) is None
    swapped = (parts[2], parts[1])
    assert build.selection(swapped, build.objective(swapped, NONE)) == {"HJB-2": (0.5, 0.0)}


@pytest.mark.parametrize(
    "kind",
    ["potential", "field", "kernel", "kernel-estimate", "mixture-estimate", "proximal-estimate"],
)
def test_every_model_is_built(kind, key):
    document = {"name": "a", "data": {"name": "moons"}, "model": {"type": kind}}
    experiment = recipes.resolve(toml.decode(document), 2)
    game = build.game(experiment.game, TARGET, NONE)
    data = TARGET.sample(50, key=key)
    model = build.model(experiment.model, game, data, NONE, key=key)
    assert isinstance(model, AbstractModel)
    assert model.costate(jnp.asarray(0.5), jnp.ones(2)).shape == (2,)


def test_components_of_the_users_own_take_their_places(imports, key):
    def own(name, **arguments):
        return spec.Import(path=f"mine:{name}", arguments=arguments)

    part = spec.ScoreGame(
        noising=own("noising", largest=3.0), lagrangian=own("Quartic", strength=2.0)
    )
    game = build.game(part, TARGET, imports)
    assert game.dynamics.noising == VE(largest_ratio=3.0)
    assert game.lagrangian.strength == 2.0
    model = build.model(own("model", slope=2.0), game, jnp.ones((5, 2)), imports, key=key)
    assert jnp.allclose(model.costate(jnp.asarray(0.0), jnp.ones(2)), 2.0)
    term = spec.ImportedObjective(path="mine:Nothing", arguments={"value": 3.0}, weight=0.5)
    built = build.objective((term,), imports)
    assert built(game, model, jnp.ones((5, 2)), key=key) == 1.5


def test_a_component_of_the_wrong_kind_is_refused(imports, key):
    part = spec.ScoreGame(noising=spec.Import(path="mine:Quartic"))
    with pytest.raises(
        TypeError, match=r"`mine:Quartic` gave a `Quartic`, expected an `AbstractNoi"
    ):
        build.game(part, TARGET, imports)


def test_the_keys_of_a_run_differ_and_repeat():
    first, again, other = build.keys(0), build.keys(0), build.keys(1)
    numbers = {name: jax.random.key_data(key).tolist() for name, key in first.items()}
    assert len({tuple(number) for number in numbers.values()}) == 4
    assert all(jnp.array_equal(first[name], again[name]) for name in first)
    assert not jnp.array_equal(first["data"], other["data"])


@pytest.mark.parametrize("kind", [spec.PotentialModel, spec.FieldModel])
def test_a_network_corrects_the_estimate_that_is_named(kind, key):
    game = build.game(spec.ScoreGame(), TARGET, NONE)
    data = jax.random.normal(key, (200, 2))
    plain = build.model(recipes._model(kind(width=8), 2), game, data, NONE, key=key)
    estimate = spec.MixtureEstimate(components=2)
    part = recipes._model(kind(width=8, reference=estimate), 2)
    corrected = build.model(part, game, data, NONE, key=key)
    alone = build.model(estimate, game, data, NONE, key=jax.random.fold_in(key, 1))
    t, x = 0.7, data[0]
    assert jnp.allclose(corrected.costate(t, x), alone.costate(t, x), rtol=1e-3, atol=1e-4)
    assert not jnp.allclose(plain.costate(t, x), alone.costate(t, x), rtol=1e-3, atol=1e-4)
