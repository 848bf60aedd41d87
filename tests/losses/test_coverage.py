"""A changed cost changes the loss, or is refused by name before the first step."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest

import mfgen as mg
from mfgen.losses import PathCost, PathCostate, Pays, WeightedDissipation
from mfgen.losses._coverage import check_coverage
from mfgen.losses._payment import divergence_weight, kinetic_weight
from mfgen.zoo import bridge_game, flow_game

KEY = jax.random.key(0)
POINTS = jax.random.normal(KEY, (40, 2))
DATA = mg.Empirical(POINTS)
NORMAL = mg.Gaussian([0.0, 0.0], jnp.eye(2))
WIDE = mg.Gaussian([0.5, -0.5], 2 * jnp.eye(2))
LIKELIHOOD = 30 * mg.losses.PathLikelihood() + mg.losses.TransportCost()
ENERGY = 30 * mg.losses.ReverseKL() + mg.losses.TransportCost()
SCORE = mg.score_based(mg.VP(), NORMAL)
MATCHED = bridge_game(DATA)
KINETIC = mg.Kinetic()


class Quartic(mg.costs.AbstractLagrangian):
    """L = |v|^2 / 2 + |v|^4 / 4."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + 0.25 * (v @ v) ** 2


class Leaning(mg.dynamics.AbstractDynamics):
    """dX = (-X + v) dt."""

    horizon: float = 1.0
    deterministic = True

    def free(self, t, x):
        return -x

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return jnp.asarray(0.0)


def from_data(terminal, lagrangian=KINETIC, **parts):
    return mg.MFG(mg.Integrator(), lagrangian, terminal, initial=DATA, data_at="start", **parts)


def to_energy(terminal, lagrangian=KINETIC, **parts):
    return mg.MFG(mg.Integrator(), lagrangian, terminal, initial=NORMAL, **parts)


def bowl(x):
    return 0.5 * x @ x


PAIRED = mg.functionals.Pairwise(mg.functionals.AttractionRepulsion())
ADMITTED = {
    "likelihood": (from_data(30 * mg.KL(NORMAL)), LIKELIHOOD),
    "in other units": (from_data(30 * mg.KL(NORMAL)), 0.1 * LIKELIHOOD),
    "weights within weights": (from_data(10 * (3 * mg.KL(NORMAL))), LIKELIHOOD),
    "no cost of speed": (from_data(mg.KL(NORMAL), mg.costs.NoCost()), mg.losses.PathLikelihood()),
    "nothing but zeros": (
        from_data(mg.KL(NORMAL), mg.costs.NoCost(), interaction=0.0 * PAIRED),
        LIKELIHOOD,
    ),
    "with regularisers": (
        from_data(30 * mg.KL(NORMAL)),
        LIKELIHOOD + 5 * mg.losses.PathHJB() + mg.losses.JacobianPenalty(),
    ),
    "discounted": (
        from_data(30 * mg.KL(NORMAL), discount=0.5),
        LIKELIHOOD + (30 * (math.exp(-0.5) - 1)) * mg.losses.PathLikelihood(),
    ),
    "energy": (to_energy(30 * mg.KL(WIDE)), ENERGY),
    "linear end": (to_energy(2 * mg.Linear(bowl)), PathCost() + mg.losses.TransportCost()),
    "residuals alone": (
        from_data(30 * mg.KL(NORMAL)),
        mg.losses.PathHJB() + mg.losses.PathTerminal(),
    ),
    "score matching": (SCORE, mg.losses.DenoisingScoreMatching() + 0.3 * mg.losses.HJB()),
    "sums of score matching": (
        SCORE,
        mg.losses.DenoisingScoreMatching() + mg.losses.SlicedScoreMatching(),
    ),
    "flow matching": (MATCHED, mg.losses.FlowMatching()),
    "action matching": (
        dataclasses.replace(MATCHED, lagrangian=Quartic()),
        mg.losses.ActionMatching(),
    ),
    "dissipation": (mg.zoo.gradient_flow_game(mg.KL(WIDE), NORMAL, 0.5), WeightedDissipation()),
}
CRITIC = mg.models.lipschitz_critic(2, key=KEY)
REFUSED = {
    "another weight": (from_data(1000 * mg.KL(NORMAL)), LIKELIHOOD, r"`1000 \* KL` 0\.03 times"),
    "another divergence": (
        from_data(30 * mg.functionals.AlphaDivergence(NORMAL, 2.0)),
        LIKELIHOOD,
        r"`PathLikelihood` got .*`30 \* AlphaDivergence`, expected a multiple of `KL",
    ),
    "another goal": (
        from_data(30 * mg.KL(NORMAL) + mg.Linear(bowl)),
        LIKELIHOOD,
        "`PathLikelihood` got a flow with the terminal cost `Sum`",
    ),
    "of samples": (from_data(30 * mg.MMD(DATA)), LIKELIHOOD, "`PathLikelihood` got"),
    "entropy on the way": (
        from_data(30 * mg.KL(NORMAL), interaction=5 * mg.functionals.Entropy()),
        LIKELIHOOD,
        r"the interaction `5 \* Entropy` is left out; train by `GameCost",
    ),
    "pairs on the way": (
        from_data(30 * mg.KL(NORMAL), interaction=5 * PAIRED),
        LIKELIHOOD,
        r"the interaction `5 \* Pairwise` is left out",
    ),
    "unpaid speed": (
        from_data(30 * mg.KL(NORMAL)),
        30 * mg.losses.PathLikelihood(),
        r"`Kinetic` is left out; add `TransportCost\(\)`",
    ),
    "weight zero": (
        from_data(30 * mg.KL(NORMAL)),
        30 * mg.losses.PathLikelihood() + 0.0 * mg.losses.TransportCost(),
        "`Kinetic` is left out",
    ),
    "no end": (
        from_data(30 * mg.KL(NORMAL)),
        mg.losses.TransportCost(),
        r"`30 \* KL` is left out; add",
    ),
    "paid twice": (
        from_data(30 * mg.KL(NORMAL)),
        LIKELIHOOD + mg.losses.TransportCost(),
        "`TransportCost` and `TransportCost-2` pay for the same part",
    ),
    "a discount": (from_data(30 * mg.KL(NORMAL), discount=0.5), LIKELIHOOD, r"1\.649 times"),
    "energy, linear": (to_energy(30 * mg.CrossEntropy(WIDE)), ENERGY, r"`30 \* CrossEntropy`"),
    "energy, forward": (
        to_energy(30 * mg.functionals.ForwardKL(WIDE)),
        ENERGY,
        r"`30 \* ForwardKL`",
    ),
    "energy, alpha": (to_energy(30 * mg.functionals.AlphaDivergence(WIDE, 2.0)), ENERGY, "Alpha"),
    "a critic": (
        to_energy(10 * mg.functionals.Wasserstein1(CRITIC, DATA)),
        PathCost() + mg.losses.TransportCost(),
        r"`10 \* Wasserstein1`, whose critic it would leave .* `run\(Alternating",
    ),
    "residual without end": (
        from_data(30 * mg.KL(NORMAL)),
        mg.losses.PathHJB(),
        r"nothing in it asks for",
    ),
    "end without residual": (to_energy(mg.Linear(bowl)), PathCostate(), "asks for the Lagrangian"),
    "whole and part": (
        SCORE,
        mg.losses.DenoisingScoreMatching() + mg.losses.TransportCost(),
        "`DenoisingScoreMatching`, which trains the whole game, beside `TransportCost`",
    ),
    "score matching, no score game": (
        to_energy(mg.CrossEntropy(WIDE)),
        mg.losses.DenoisingScoreMatching(),
        "`DenoisingScoreMatching` got",
    ),
    "matching, soft end": (
        from_data(mg.KL(NORMAL)),
        mg.losses.FlowMatching(),
        "expected a prescribed end",
    ),
    "matching, other cost": (
        dataclasses.replace(MATCHED, lagrangian=Quartic()),
        mg.losses.FlowMatching(),
        r"the Lagrangian `Quartic`, expected `Kinetic\(weight\)`",
    ),
    "matching, hill": (
        dataclasses.replace(
            MATCHED, lagrangian=mg.costs.WithPotential(mg.Kinetic(), lambda t, x: bowl(x))
        ),
        mg.losses.StochasticInterpolant(),
        "`StochasticInterpolant` got a game with the Lagrangian `WithPotential`",
    ),
    "matching, crowd": (
        dataclasses.replace(MATCHED, interaction=mg.functionals.Entropy()),
        mg.losses.ActionMatching(),
        "`ActionMatching` got a game with the interaction `Entropy`",
    ),
    "matching, drift": (
        dataclasses.replace(MATCHED, dynamics=Leaning()),
        mg.losses.FlowMatching(),
        "`Leaning` have a drift",
    ),
    "matching, discount": (
        dataclasses.replace(MATCHED, discount=0.1),
        mg.losses.FlowMatching(),
        r"discount = 0\.1",
    ),
    "prescribed end": (
        MATCHED,
        LIKELIHOOD,
        "`Prescribed`.* trained by `Augmented.* paid for by `FlowMatching`",
    ),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_an_objective_that_is_the_games_is_admitted(name):
    check_coverage(*ADMITTED[name], 2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_left_out_paid_twice_or_contradicted_is_refused_by_name(name):
    game, objective, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        check_coverage(game, objective, 2)


def test_fit_refuses_before_it_takes_a_folder(tmp_path):
    game, objective, message = REFUSED["another weight"]
    model = mg.models.ot_flow_potential(game, width=4, key=KEY)
    folder = tmp_path / "checkpoints"
    options = {"steps": 1, "key": KEY, "checkpoints": mg.trainers.Checkpoints(folder)}
    with pytest.raises(ValueError, match=message):
        mg.fit(game, model, objective, POINTS, **options)
    assert not folder.exists() or not any(folder.iterdir())


def test_weights_to_choose_from_are_those_of_the_game():
    game, objective = ADMITTED["likelihood"]
    model = mg.models.ot_flow_potential(game, width=4, key=KEY)
    options = {"steps": 1, "key": KEY, "validation": POINTS[:9] + 0.01}
    with pytest.raises(ValueError, match=r"`Kinetic` is left out"):
        mg.fit(game, model, objective, POINTS, select={"TransportCost": (1.0, 0.0)}, **options)


def test_labels_stay_at_rest():
    law = mg.densities.LabelledPoints(POINTS, mg.densities.one_hot(jnp.arange(40) % 2, 2))
    check_coverage(mg.score_based(mg.VP(), law), mg.losses.DenoisingScoreMatching(), 4)
    check_coverage(flow_game(law, mg.costs.NoCost()), mg.losses.PathLikelihood(), 4)
    moving = mg.MFG(
        mg.Integrator(),
        mg.costs.NoCost(),
        mg.KL(mg.Gaussian(jnp.zeros(4), jnp.eye(4))),
        initial=law,
        data_at="start",
    )
    with pytest.raises(TypeError, match=r"initial density has labels .* move them like points"):
        check_coverage(moving, mg.losses.PathLikelihood(), 4)


def test_a_loss_of_ones_own_is_taken_at_its_word_until_it_states_what_it_pays():
    class Own(mg.losses.AbstractObjective):
        def __call__(self, game, model, batch, *, key):
            return jnp.zeros(())

    class Stated(mg.losses.AbstractObjective):
        def pays(self, game):
            return Pays(lagrangian=1.0, terminal=1.0)

        def __call__(self, game, model, batch, *, key):
            return jnp.zeros(())

    game = from_data(30 * mg.KL(NORMAL), interaction=mg.functionals.Entropy())
    check_coverage(game, Own() + mg.losses.TransportCost(), 2)
    with pytest.raises(ValueError, match="`Entropy` is left out"):
        check_coverage(game, Stated(), 2)
    check_coverage(
        dataclasses.replace(game, interaction=mg.functionals.Entropy() * 0.0), Stated(), 2
    )


def test_weights_of_divergences_are_told_by_their_first_variation(x64):
    places = POINTS.astype(float)
    tried = {
        3.0: 3 * mg.KL(WIDE),
        2.5: mg.KL(WIDE) + 0.75 * (2 * mg.functionals.Entropy()) + 1.5 * mg.CrossEntropy(WIDE),
        1.0: mg.functionals.AlphaDivergence(WIDE, 1.0),
    }
    for weight, functional in tried.items():
        assert divergence_weight(functional, WIDE, places) == pytest.approx(weight, rel=1e-9)
    for other in (
        mg.KL(NORMAL),
        mg.functionals.Entropy(),
        mg.functionals.ChiSquared(WIDE),
        mg.MMD(DATA),
        -1.0 * mg.KL(WIDE),
    ):
        assert divergence_weight(other, WIDE, places) is None


def test_kinetic_costs_are_told_by_their_values():
    assert kinetic_weight(to_energy(mg.functionals.Zero(), mg.Kinetic(2.5)), 2) == pytest.approx(
        2.5, rel=1e-6
    )
    assert kinetic_weight(to_energy(mg.functionals.Zero(), mg.costs.NoCost()), 2) == 0
    assert kinetic_weight(
        to_energy(mg.functionals.Zero(), mg.costs.Power(2.0)), 2
    ) == pytest.approx(1.0, rel=1e-6)
    for other in (mg.costs.Power(1.5), mg.costs.Relativistic(1.0), Quartic()):
        assert kinetic_weight(to_energy(mg.functionals.Zero(), other), 2) is None


class OnlyWhenFast(mg.costs.AbstractLagrangian):
    """|v|^2 / 2 up to a speed, and more above it."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + jnp.maximum(jnp.sqrt(v @ v + 1e-12) - 2.0, 0.0) ** 2


class OnlyOnTheWay(mg.costs.AbstractLagrangian):
    """|v|^2 / 2 and a hill between two places that is nothing at either."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + jnp.maximum(1 - jnp.sum((x - 4.0) ** 2), 0.0)


class Wind(mg.dynamics.AbstractDynamics):
    """dX = (w(X) + v) dt with a wind that blows between two places alone."""

    horizon: float = 1.0

    @property
    def deterministic(self):
        return True

    def free(self, t, x):
        return jnp.where(jnp.sum((x - 4.0) ** 2) < 1, 1.0, 0.0) * jnp.ones_like(x)

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return jnp.asarray(0.0)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"lagrangian": OnlyWhenFast()}, "Lagrangian `OnlyWhenFast`"),
        ({"lagrangian": OnlyOnTheWay()}, "Lagrangian `OnlyOnTheWay`"),
        ({"dynamics": Wind()}, "dynamics `Wind`"),
    ],
)
def test_straight_lines_are_refused_for_what_costs_or_blows_on_the_way(parts, named):
    far = mg.Gaussian(jnp.full(2, 8.0), 0.1)
    whole = {"dynamics": mg.Integrator(), "lagrangian": mg.Kinetic()} | parts
    game = mg.MFG(
        **whole,
        terminal=mg.functionals.Prescribed(far),
        initial=mg.Gaussian(jnp.zeros(2), 0.1),
        data_at="start",
    )
    mg.losses.FlowMatching().pays(
        dataclasses.replace(game, dynamics=mg.Integrator(), lagrangian=mg.Kinetic())
    )
    with pytest.raises(ValueError, match=named):
        mg.losses.FlowMatching().pays(game)
