"""What is of the wrong kind is refused at the door, in the name of what was called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config

import mfgen as mg
from mfgen.metrics._check_table import CheckTable
from mfgen.solvers._base import Result, Status

KEY = jax.random.key(0)
POINTS = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
LAW = mg.Gaussian(jnp.zeros(2), 1.0)
X = jnp.zeros(2)


@pytest.fixture(autouse=True)
def without_checks_of_types():
    """As in the hands of a user: the checks of annotations run in tests alone."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def game(terminal=None, lagrangian=None):
    terminal = mg.Linear(lambda x: 0.5 * x @ x) if terminal is None else terminal
    lagrangian = mg.Kinetic() if lagrangian is None else lagrangian
    return mg.MFG(mg.Integrator(sigma=0.5), lagrangian, terminal, initial=LAW)


def score_game():
    return mg.score_based(mg.VP(), mg.Empirical(POINTS))


MODEL = mg.models.Potential(lambda t, x: x @ x)
WIDE = mg.models.Potential(lambda t, x: jnp.ones(4) @ x)
SOLUTION = mg.Solution(game(), MODEL, None, Result(Status.CONVERGED, "by hand"))


class Cost(mg.costs.AbstractLagrangian):
    """A cost that returns what it is told to."""

    answer: object

    def __call__(self, t, x, v):
        return self.answer(v)


RAW = {
    "no number of samples": (lambda: LAW.sample(None, key=KEY), "Gaussian.sample"),
    "half a sample": (lambda: mg.densities.moons().sample(2.5, key=KEY), ".sample"),
    "samples below none": (lambda: mg.densities.checkerboard().sample(-1, key=KEY), ".sample"),
    "samples by a seed": (lambda: mg.Empirical(POINTS).sample(3, key=0), "Empirical.sample"),
    "no energy": (lambda: mg.Unnormalised(None, 2), "Unnormalised"),
    "numbers as factors": (lambda: mg.densities.Product((1, 2)), "Product"),
    "text as dimension": (lambda: mg.densities.double_well("a"), "WellProduct"),
    "an odd product": (lambda: mg.densities.product_of_toys(3), "product_of_toys"),
    "text with a mode": (lambda: mg.densities.laplace("a"), "laplace"),
    "text as box": (lambda: mg.Grid("a"), "Lattice"),
    "no steps of a grid": (lambda: mg.Grid((-1, 1), steps=None), "Grid"),
    "text as steps": (lambda: mg.solvers.Riccati("a"), "Riccati"),
    "text as width": (lambda: mg.solvers.Neural(width="a"), "Neural"),
    "no width": (lambda: mg.solvers.Neural(width=0), "Neural"),
    "a misspelt width": (
        lambda: mg.models.score_field(score_game(), key=KEY, widht=3),
        "did you mean",
    ),
    "a misspelt depth": (lambda: mg.models.control_field(game(), key=KEY, dept=3), "did you mean"),
    "text as exponent": (lambda: mg.functionals.PorousMedium("a"), "PorousMedium"),
    "text as tolerance": (lambda: mg.simulate.Adaptive("a"), "Adaptive"),
    "text as probes": (lambda: mg.losses.Hutchinson("a"), "Hutchinson"),
    "text as scale": (lambda: mg.losses.Huber("a"), "Huber"),
    "text as level": (lambda: mg.losses.LogUniform("a"), "LogUniform"),
    "text as power": (lambda: mg.losses.RatioPower("a"), "RatioPower"),
    "a flow of nothing": (lambda: mg.zoo.gradient_flow_game(None, LAW), "gradient_flow_game"),
    "paths of nothing": (lambda: mg.trajectories(game(), None, POINTS, key=KEY), "trajectories"),
    "paths from text": (lambda: mg.trajectories(game(), MODEL, "a", key=KEY), "trajectories"),
    "paths without a key": (lambda: mg.trajectories(game(), MODEL, POINTS, key=1), "trajectories"),
}


@pytest.mark.parametrize("case", RAW)
def test_what_is_no_number_or_law_is_refused(case):
    act, named = RAW[case]
    with pytest.raises((TypeError, ValueError), match=named) as error:
        act()
    assert str(error.value).startswith("`")
    assert "expected" in str(error.value)


KINDS = {
    "a density as noising": (lambda: mg.score_based(LAW, LAW), "score_based", "noising of type"),
    "a class as noising": (lambda: mg.score_based(mg.VP, LAW), "score_based", "the class `VP`"),
    "a function as noising": (
        lambda: mg.dynamics.TimeReversal(len),
        "TimeReversal",
        "AbstractForward",
    ),
    "data as target": (lambda: mg.score_based(mg.VP(), POINTS), "score_based", "Empirical"),
    "data in a cost": (lambda: mg.KL(POINTS), "KL", "target of type `ndarray`"),
    "a function in a cost": (lambda: mg.MMD(len), "MMD", "target of type"),
    "a number as kernel": (lambda: mg.functionals.Pairwise(1.0), "Pairwise", "expected a function"),
    "a density as function": (lambda: mg.Linear(LAW), "Linear", "expected a function"),
    "a function as term": (lambda: mg.KL(LAW) + len, "Sum", "wrap a function"),
    "the wrong order": (
        lambda: mg.costs.WithPotential(len, mg.Kinetic()),
        "WithPotential",
        "lagrangian",
    ),
    "a text as number": (lambda: mg.Integrator(sigma="1"), "Integrator", "sigma of type `str`"),
    "a text as penalty": (lambda: mg.losses.HJB(penalty="abs"), "HJB", "penalty of type `str`"),
    "no collocation": (
        lambda: mg.losses.ScoreHJB(collocation=None),
        "ScoreHJB",
        "collocation of type",
    ),
    "no integrator": (lambda: mg.losses.Paths(None), "Paths", "integrator of type `NoneType`"),
    "a text as integrator": (
        lambda: mg.simulate.ProbabilityFlow("a"),
        "ProbabilityFlow",
        "RungeKutta4",
    ),
    "none as number": (lambda: mg.VP(None), "VP", "expected a number"),
    "a solution as game": (lambda: mg.hamiltonian(SOLUTION, 0.0, X, X), "hamiltonian", "MFG"),
    "a costate too long": (
        lambda: mg.hamiltonian(game(), 0.0, X, jnp.zeros(4)),
        "hamiltonian",
        r"x of shape \(2,\) and p of shape \(4,\)",
    ),
    "a batch": (lambda: mg.optimal_control(game(), 0.0, POINTS, POINTS), "optimal", "jax.vmap"),
    "a wide value": (
        lambda: mg.hjb(game(), WIDE, None, 0.0, X),
        "hjb",
        r"cannot be evaluated at a point of shape \(2,\)",
    ),
    "a wide model": (lambda: mg.velocity(game(), WIDE, 0.0, X), "velocity", "cannot be evaluated"),
    "a model, certified": (lambda: mg.certify(MODEL), "certify", "expected a `Solution`"),
    "a game, certified": (lambda: mg.certify(game()), "certify", "solution of type `MFG`"),
    "a model, compared": (lambda: mg.compare(SOLUTION, MODEL), "compare", "b of type `Potential`"),
    "no model, solved": (lambda: mg.solution(game(), LAW, key=KEY), "solution", "model of type"),
    "no game, solved": (lambda: mg.solution(MODEL, MODEL, key=KEY), "solution", "game of type"),
    "no key, solved": (lambda: mg.solution(game(), MODEL, key=0), "solution", "jax.random.key"),
    "a key of old": (lambda: mg.compare(SOLUTION, SOLUTION, key=0), "compare", "jax.random.key"),
    "a name as solver": (lambda: mg.solve(game(), "grid"), "solve", "solver of type `str`"),
    "a model, solved": (lambda: mg.solve(MODEL, mg.solvers.Riccati()), "solve", "game of type"),
    "a model, checked": (lambda: mg.check(MODEL), "check", "game of type"),
    "a model, printed": (lambda: mg.equations(MODEL), "equations", "game of type"),
    "a solution, sampled": (lambda: mg.sample(game(), SOLUTION, 2, key=KEY), "sample", "`value`"),
    "no key": (lambda: mg.sample(game(), MODEL, 2, key=None), "sample", "key = None"),
    "a name as method": (
        lambda: mg.sample(game(), MODEL, 2, key=KEY, method="euler"),
        "sample",
        "StochasticHeun",
    ),
    "a wide model, sampled": (
        lambda: mg.sample(game(), WIDE, 2, key=KEY),
        "sample",
        "cannot be evaluated at points of 2 features",
    ),
    "the wrong order of two": (lambda: mg.log_prob(MODEL, game(), POINTS), "log_prob", "game"),
    "a function as objective": (
        lambda: mg.fit(score_game(), MODEL, len, POINTS, steps=1, key=KEY),
        "fit",
        "objective of type",
    ),
    "a folder as checkpoints": (
        lambda: mg.fit(
            score_game(),
            MODEL,
            mg.losses.DenoisingScoreMatching(),
            POINTS,
            steps=1,
            key=KEY,
            checkpoints="folder",
        ),
        "fit",
        r"`Checkpoints\(folder\)`",
    ),
    "a number as objective": (lambda: mg.losses.HJB() + 1, "Combination", "a term of type `int`"),
    "no game": (lambda: mg.models.score_potential(None, key=KEY), "precondition", "game of type"),
    "half a unit": (
        lambda: mg.models.score_potential(score_game(), key=KEY, width=8.5),
        "MLP",
        "width = 8.5",
    ),
    "an integer as key": (lambda: mg.models.score_potential(score_game(), key=3), "MLP", "key = 3"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_wrong_kind_is_refused_by_name(name):
    call, owner, said = KINDS[name]
    with pytest.raises((TypeError, ValueError), match=rf"^`{owner}.*{said}"):
        call()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda v: (0.5 * v @ v)[None], r"an array of shape \(1,\)"),
        (lambda v: 0.5 * v * v, r"an array of shape \(2,\)"),
        (lambda v: 1, "a number of type int"),
        (lambda v: (0.5 * v @ v,), "a `tuple`"),
        (lambda v: None, "a `NoneType`"),
    ],
)
def test_costs_that_are_no_number_are_refused_with_the_game(answer, said):
    with pytest.raises(TypeError, match=f"`MFG` got a lagrangian `Cost` that returns {said}"):
        game(lagrangian=Cost(answer))
    with pytest.raises(TypeError, match=rf"`MFG` got a terminal cost `Linear.* returns {said}"):
        game(terminal=0.5 * mg.Linear(answer) + mg.functionals.Entropy())


def test_costs_that_are_numbers_are_taken():
    bowl = mg.costs.WithPotential(mg.Kinetic(), lambda t, x: (x @ x)[None])
    with pytest.raises(TypeError, match=r"`WithPotential` that returns an array of shape \(1,\)"):
        game(lagrangian=bowl)
    assert game(terminal=mg.Linear(lambda x: 0.0), lagrangian=Cost(lambda v: 0.5 * v @ v))
    assert mg.hamiltonian(game(), 0.0, X, jnp.ones(2)) == 1.0


@pytest.mark.parametrize(
    ("error", "said"),
    [(NotImplementedError(), "NotImplementedError"), (IndexError("beyond"), "IndexError: beyond")],
)
def test_what_a_cost_raises_is_listed_in_a_certificate_as_missing(error, said):
    def raising(key):
        raise error

    ledger = CheckTable(KEY)
    assert ledger.tried("cost", raising) is None
    assert said in ledger.missing["cost"]
