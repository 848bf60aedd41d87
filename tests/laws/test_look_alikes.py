"""Games that look score-based and are not: each method that relies on grad log rho = -grad U
refuses them by the part that is changed, or gives what a second method gives.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import AbstractLagrangian, Kinetic, ScoreLagrangian, WithPotential
from mfgen.densities import Empirical, Gaussian
from mfgen.derive._score_based import is_score_based
from mfgen.dynamics import VE, VP, Integrator, TimeReversal
from mfgen.dynamics._noising import AbstractNoising
from mfgen.functionals import KL, CrossEntropy, Entropy, Linear, Sum, Zero
from mfgen.losses import DenoisingScoreMatching, ImplicitScoreMatching, SlicedScoreMatching
from mfgen.metrics import (
    girsanov_bound,
    hjb_error,
    hjb_profile,
    potential_density,
    score_error,
    score_profile,
)
from mfgen.models import (
    Potential,
    kernel_estimate,
    kernel_potential,
    mixture_estimate,
    proximal_kernel,
    score_field,
    score_potential,
)
from mfgen.models._precondition import precondition
from mfgen.simulate import (
    AbstractSampler,
    EulerMaruyama,
    FlowLikelihood,
    Langevin,
    MetropolisAdjusted,
    PredictorCorrector,
    ProbabilityFlow,
    RungeKutta4,
    Tempered,
    correct,
    denoised,
    inverse_error,
    log_prob,
    sample,
)
from mfgen.simulate._frame import FixedFrame, random_frame
from mfgen.zoo import score_based

NOISING = VP(beta_max=6.0)
DATA = Gaussian([0.4, -0.3], 0.5)
GAME = score_based(NOISING, DATA)
KEY = jax.random.key(0)
POINTS = DATA.sample(64, key=jax.random.key(1))


def value(t, x):
    s = NOISING.horizon - t
    return -DATA.noised(NOISING.signal(s), NOISING.noise(s)).log_density(x)


MODEL = Potential(value)


def changed(**parts):
    return dataclasses.replace(GAME, **parts)


class Quartic(AbstractLagrangian):
    """The score-based Lagrangian and a little more for the fast."""

    dynamics: TimeReversal

    def __call__(self, t, x, v):
        return ScoreLagrangian(self.dynamics)(t, x, v) + 0.01 * jnp.vdot(v, v) ** 2


class Steered(TimeReversal):
    """Control that counts twice."""

    def gain(self, t):
        return 2 * TimeReversal.gain(self, t)


class Pulled(TimeReversal):
    """Another drift than the noising's."""

    def free(self, t, x):
        return TimeReversal.free(self, t, x) - x


class Tilted(CrossEntropy):
    """Of the same name as the one it is derived from, with other numbers."""

    def variation(self, rho, x):
        return 1.3 * CrossEntropy.variation(self, rho, x)


Tilted.__name__ = "CrossEntropy"
ScoreLike = type("ScoreLagrangian", (Kinetic,), {"__module__": __name__})


class Change(NamedTuple):
    """A changed game, and what its refusal names."""

    build: object
    named: str


REVERSED = GAME.dynamics
CHANGES = {
    "discount": Change(lambda: changed(discount=0.8), "discount = 0.8"),
    "KL end": Change(lambda: changed(terminal=KL(DATA)), "terminal cost `KL`"),
    "double end": Change(lambda: changed(terminal=2 * GAME.terminal), "2 times `CrossEntropy`"),
    "linear term": Change(
        lambda: changed(terminal=GAME.terminal + 0.5 * Linear(lambda x: x @ x)),
        "terminal cost `CrossEntropy` + `Linear`",
    ),
    "entropy term": Change(
        lambda: changed(terminal=GAME.terminal + 0.1 * Entropy()), "`CrossEntropy` + `Entropy`"
    ),
    "unknown target twice": Change(
        lambda: changed(terminal=2 * CrossEntropy(Empirical(POINTS))), "2 times `CrossEntropy`"
    ),
    "another cross-entropy": Change(lambda: changed(terminal=Tilted(DATA)), "`CrossEntropy`"),
    "no end": Change(lambda: changed(terminal=Zero()), "no terminal cost"),
    "interaction": Change(lambda: changed(interaction=Entropy()), "interaction `Entropy`"),
    "place": Change(
        lambda: changed(interaction=0.3 * Linear(lambda x: x[0])), "interaction `Linear`"
    ),
    "heavy": Change(lambda: changed(lagrangian=Kinetic(100.0)), "Lagrangian `Kinetic`"),
    "no divergence": Change(lambda: changed(lagrangian=Kinetic(1.0)), "Lagrangian `Kinetic`"),
    "quartic": Change(lambda: changed(lagrangian=Quartic(REVERSED)), "Lagrangian `Quartic`"),
    "same name": Change(lambda: changed(lagrangian=ScoreLike(1.1)), "Lagrangian `ScoreLagrangian`"),
    "potential": Change(
        lambda: changed(lagrangian=WithPotential(GAME.lagrangian, lambda t, x: x @ x)),
        "Lagrangian `WithPotential`",
    ),
    "other noising": Change(
        lambda: changed(lagrangian=ScoreLagrangian(TimeReversal(VP()))),
        "Lagrangian `ScoreLagrangian`",
    ),
    "gain": Change(lambda: changed(dynamics=Steered(NOISING)), "dynamics `Steered`"),
    "drift": Change(lambda: changed(dynamics=Pulled(NOISING)), "dynamics `Pulled`"),
    "integrator": Change(
        lambda: changed(dynamics=Integrator(sigma=1.0), lagrangian=Kinetic()),
        "dynamics `Integrator`",
    ),
}

RELYING = {
    "ProbabilityFlow": lambda game: sample(game, MODEL, 4, key=KEY, method=ProbabilityFlow()),
    "PredictorCorrector": lambda game: sample(
        game, MODEL, 4, key=KEY, method=PredictorCorrector(5)
    ),
    "Langevin": lambda game: sample(game, MODEL, 4, key=KEY, method=Langevin(5, 0.01)),
    "MetropolisAdjusted": lambda game: sample(
        game, MODEL, 4, key=KEY, method=MetropolisAdjusted(EulerMaruyama(2), 2, 2)
    ),
    "Tempered": lambda game: sample(game, MODEL, 4, key=KEY, method=Tempered(2)),
    "correct": lambda game: correct(game, MODEL, POINTS, key=KEY, steps=2, warmup=2),
    "potential_density": lambda game: potential_density(game, MODEL, 50, key=KEY),
    "denoise": lambda game: sample(game, MODEL, 4, key=KEY, denoise=True),
    "denoised": lambda game: denoised(game, MODEL, jnp.zeros(2)),
    "log_prob": lambda game: log_prob(game, MODEL, POINTS),
    "one_shot": lambda game: log_prob(game, MODEL, POINTS, method="one_shot"),
    "FlowLikelihood": lambda game: FlowLikelihood()(game, MODEL, jnp.zeros(2), key=None),
    "inverse_error": lambda game: inverse_error(game, MODEL, POINTS),
    "score_error": lambda game: score_error(game, MODEL, DATA, 64, key=KEY),
    "girsanov_bound": lambda game: girsanov_bound(game, MODEL, DATA, 64, key=KEY),
    "score_profile": lambda game: score_profile(game, MODEL, DATA, [0.5], key=KEY),
    "hjb_error": lambda game: hjb_error(game, MODEL, POINTS, 64, key=KEY),
    "hjb_profile": lambda game: hjb_profile(game, MODEL, POINTS, [0.5], key=KEY),
    "DenoisingScoreMatching": lambda game: DenoisingScoreMatching()(game, MODEL, POINTS, key=KEY),
    "ImplicitScoreMatching": lambda game: ImplicitScoreMatching()(game, MODEL, POINTS, key=KEY),
    "SlicedScoreMatching": lambda game: SlicedScoreMatching()(game, MODEL, POINTS, key=KEY),
    "precondition": precondition,
    "score_potential": lambda game: score_potential(game, key=KEY),
    "score_field": lambda game: score_field(game, key=KEY),
    "kernel_potential": lambda game: kernel_potential(game, POINTS, key=KEY),
    "kernel_estimate": lambda game: kernel_estimate(game, POINTS),
    "mixture_estimate": lambda game: mixture_estimate(game, POINTS, key=KEY),
    "proximal_kernel": lambda game: proximal_kernel(game, POINTS),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_relies_on_the_score_refuses_a_changed_game(name):
    build, named = CHANGES[name]
    game = build()
    assert not is_score_based(game)
    for method, run in RELYING.items():
        with pytest.raises((TypeError, ValueError)) as refusal:
            run(game)
        assert named in str(refusal.value), method


class Handmade(AbstractLagrangian):
    """|v|^2 / 2 - div f, written down again."""

    def __call__(self, t, x, v):
        beta = 0.1 + 5.9 * (1 - t)
        return 0.5 * v @ v - 0.5 * beta * x.size


SAME = {
    "potential": lambda: changed(
        lagrangian=WithPotential(
            Kinetic(), lambda t, x: NOISING.rate(REVERSED.noising_time(t)) * x.size
        )
    ),
    "handmade": lambda: changed(lagrangian=Handmade()),
    "once": lambda: changed(terminal=1.0 * GAME.terminal + Zero()),
    "halves": lambda: changed(terminal=Sum((0.5 * GAME.terminal, 0.5 * GAME.terminal))),
    "no charge": lambda: changed(interaction=0.0 * Entropy()),
    "samples": lambda: changed(terminal=CrossEntropy(Empirical(POINTS))),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_game_in_other_words_is_score_based(name):
    assert is_score_based(SAME[name](), named=True)


def test_a_linear_end_without_a_name_is_sampled_and_is_no_density():
    """U is -log rho up to a constant: enough for a flow, not for a density in one evaluation."""
    game = changed(terminal=Linear(lambda x: -DATA.log_density(x) + 3.0))
    shifted = Potential(lambda t, x: value(t, x) + 3.0)
    flow = FlowLikelihood(RungeKutta4(10))
    here, there = (log_prob(g, u, POINTS, method=flow) for g, u in ((game, shifted), (GAME, MODEL)))
    np.testing.assert_allclose(here, there, atol=1e-5)
    with pytest.raises(TypeError, match=r"`OneShot` got .* terminal cost `Linear`"):
        log_prob(game, shifted, POINTS, method="one_shot")
    with pytest.raises(TypeError, match="terminal cost `Linear`"):
        DenoisingScoreMatching()(game, shifted, POINTS, key=KEY)


def test_its_own_control_is_followed_in_any_game():
    """Twice the gain and four times the cost are the same game: v* g is what it was.

    The frame of noised data is not used where the free drift is another one.
    """
    game = changed(dynamics=Steered(NOISING), lagrangian=Kinetic(4.0))
    plain = changed(lagrangian=Kinetic(1.0))
    found, wanted = (sample(g, MODEL, 64, key=KEY, method=EulerMaruyama(20)) for g in (game, plain))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    pulled = changed(dynamics=Pulled(NOISING))
    assert isinstance(random_frame(pulled), FixedFrame)


def test_samplers_of_a_users_own_are_asked_before_they_run():
    class Picky(AbstractSampler):
        def __call__(self, game, model, x, *, key):
            raise AssertionError

        def check(self, game):
            raise TypeError("`Picky` got no game to its taste.")

    with pytest.raises(TypeError, match="to its taste"):
        sample(GAME, MODEL, 4, key=KEY, method=Picky())


class Own(AbstractNoising):
    """y + s eps with a signal that falls linearly, or nearly so."""

    horizon: float = 1.0
    rate_factor: float = 1.0
    spread_factor: float = 1.0
    time_factor: float = 1.0
    start: float = 0.05

    def signal(self, s):
        return 1 - 0.9 * s

    def noise(self, s):
        return jnp.asarray(s)

    def ratio(self, s):
        return s / (1 - 0.9 * s)

    def time(self, ratio):
        return self.time_factor * ratio / (1 + 0.9 * ratio)

    def rate(self, s):
        return -0.9 * self.rate_factor / (1 - 0.9 * s)

    def diffusion(self, t):
        return self.spread_factor * jnp.sqrt(2 * t + 1.8 * t * t / (1 - 0.9 * t))


def test_a_noising_of_a_users_own_is_one_process():
    assert is_score_based(score_based(Own(), DATA), named=True)
    for wrong in ("rate_factor", "spread_factor", "time_factor"):
        with pytest.raises(ValueError, match=r"`TimeReversal` got `Own`, for which .* not hold"):
            TimeReversal(Own(**{wrong: 1.05}))


@pytest.mark.parametrize("ratio", [1e-4, 5e-5, 1e-7])
def test_noise_below_what_single_precision_resolves_is_refused(ratio):
    """S - t is rounded: at 1e-4 log-densities would be off by .09 a coordinate."""
    with pytest.raises(
        ValueError, match=r"`VP` down to .* float32.* at least 0.00087.*x64"
    ) as told:
        score_based(VP(smallest_ratio=ratio), DATA)
    assert "smallest_ratio=0.00087" in str(told.value)
    with jax.enable_x64(True):
        fine = score_based(VP(smallest_ratio=ratio), Gaussian([0.4, -0.3], 0.5))
        single = jnp.zeros((3, 2), jnp.float32)
        with pytest.raises(ValueError, match=r"`log_prob` got `VP` down to .* type float32"):
            log_prob(fine, MODEL, single, method="one_shot")


@pytest.mark.parametrize(
    "noising", [VP(smallest_ratio=8.7e-4), VE(smallest_ratio=1e-6)], ids=["VP", "VE"]
)
def test_the_least_noise_that_is_taken_is_resolved(noising):
    """log rho at the end against double precision."""
    game = score_based(noising, DATA)
    end = game.dynamics.noising_time(jnp.asarray(game.dynamics.horizon))
    wanted = noising.smallest_ratio
    assert abs(float(noising.ratio(end)) / wanted - 1) < 2.1e-3
