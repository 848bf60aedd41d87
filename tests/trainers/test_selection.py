"""The weight of a regulariser chosen by validation: what separate trainings give, and refusals."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.losses import HJB, AbstractObjective, DenoisingScoreMatching
from mfgen.models import score_potential
from mfgen.trainers import CheckpointError, Checkpoints, NonFiniteError, fit

MATCHING = DenoisingScoreMatching()
LOSS = MATCHING + 0.7 * HJB(points=8)
WEIGHTS = (0.0, 0.1, 3.0)


@pytest.fixture(scope="module")
def network(game):
    return score_potential(game, width=8, depth=1, frequencies=2, key=jax.random.key(1))


def run(game, network, data, objective=LOSS, **settings):
    settings = {
        "batch_size": 32,
        "every": 10,
        "steps": 20,
        "validation": data[:64] + 0.01,
    } | settings
    return fit(game, network, objective, data[64:], key=jax.random.key(7), **settings)


def identical(one, other):
    leaves = [jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))


@pytest.fixture(scope="module")
def selected(game, network, data):
    seen = []
    model, history = run(game, network, data, select={"HJB": WEIGHTS}, callback=seen.append)
    return model, history, seen


def test_it_returns_what_a_training_with_the_chosen_weight_returns(game, network, data, selected):
    model, history, _ = selected
    alone = [run(game, network, data, MATCHING)]
    alone += [run(game, network, data, MATCHING + w * HJB(points=8)) for w in WEIGHTS[1:]]
    losses = [min(r.validation for r in history.records) for _, history in alone]
    tried = history.selection
    assert [candidate.weight for candidate in tried] == list(WEIGHTS)
    assert [candidate.loss for candidate in tried] == losses
    assert [candidate.step for candidate in tried] == [h.best_step for _, h in alone]
    assert len(set(losses)) == 3
    best = int(np.argmin(losses))
    assert [candidate.chosen for candidate in tried] == [i == best for i in range(3)]
    assert identical(model, alone[best][0])
    assert [r.terms for r in history.records] == [r.terms for r in alone[best][1].records]


def test_zero_is_the_run_without_the_term(game, network, data):
    model, history = run(game, network, data, select={"HJB": [0.0]})
    plain, _ = run(game, network, data, MATCHING)
    assert identical(model, plain)
    assert set(history.records[0].terms) == {"DenoisingScoreMatching"}


def test_progress_goes_on_over_all_candidates(selected):
    seen = selected[2]
    assert [progress.done for progress in seen] == [10, 20, 30, 40, 50, 60]
    assert {progress.total for progress in seen} == {60}
    assert [progress.trial.weight for progress in seen[::2]] == list(WEIGHTS)
    assert seen[0].trial.term == "HJB"


class Stop(Exception):
    """Raised by a callback in the place of a kill."""


def test_a_selection_that_was_killed_resumes_at_its_candidate(
    game, network, data, selected, tmp_path
):
    settings = {"select": {"HJB": WEIGHTS}, "resume": True}

    def stop(progress):
        if progress.done == 40:
            raise Stop

    with pytest.raises(Stop):
        run(
            game,
            network,
            data,
            checkpoints=Checkpoints(tmp_path, every=6),
            callback=stop,
            **settings,
        )
    seen = []
    model, history = run(
        game,
        network,
        data,
        checkpoints=Checkpoints(tmp_path, every=6),
        callback=seen.append,
        **settings,
    )
    assert [progress.done for progress in seen] == [40, 50, 60]
    assert identical(model, selected[0])
    for one, other in zip(history.selection, selected[1].selection, strict=True):
        assert (one.loss, one.step, one.chosen) == (other.loss, other.step, other.chosen)
    with pytest.raises(CheckpointError, match="pass resume=True"):
        run(game, network, data, select={"HJB": (0.0,)}, checkpoints=Checkpoints(tmp_path))


def test_a_folder_of_a_single_training_is_refused(game, network, data, tmp_path):
    run(game, network, data, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match="a run without selection"):
        run(game, network, data, select={"HJB": (0.0, 1.0)}, checkpoints=Checkpoints(tmp_path))


class Poison(AbstractObjective):
    """A regulariser that is not a number."""

    regularises = True

    def __call__(self, game, model, batch, *, key):
        return jnp.nan * jnp.sum(model.costate(0.5, batch[0]))


def test_a_training_that_fails_is_passed_over(game, network, data):
    model, history = run(game, network, data, MATCHING + Poison(), select={"Poison": (1.0, 0.0)})
    assert identical(model, run(game, network, data, MATCHING)[0])
    failed, chosen = history.selection
    assert (failed.loss, failed.step, failed.chosen) == (math.inf, None, False)
    assert chosen.chosen


def test_if_all_fail_the_selection_does(game, network, data):
    with pytest.raises(NonFiniteError, match=r"every weight of Poison \(1.0, 2.0\)"):
        run(game, network, data, MATCHING + Poison(), select={"Poison": (1.0, 2.0)})


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({}, "got select for 0 terms"),
        ({"HJB": (1.0,), "DenoisingScoreMatching": (1.0,)}, "got select for 2 terms"),
        ({"hjb": (1.0,)}, "got select for 'hjb', expected a term .* DenoisingScoreMatching, HJB"),
        ({"DenoisingScoreMatching": (1.0, 2.0)}, "expected a regulariser beside"),
        ({"HJB": ()}, "all different"),
        ({"HJB": (-0.1, 1.0)}, "not negative"),
        ({"HJB": (0.1, math.nan)}, "finite"),
        ({"HJB": (0.1, math.inf)}, "finite"),
        ({"HJB": (0.0, -0.0)}, "all different"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(game, network, data, select, message):
    with pytest.raises(ValueError, match=message):
        run(game, network, data, select=select)


def test_without_validation_or_a_term_to_fit_nothing_is_chosen(game, network, data):
    with pytest.raises(ValueError, match="without validation"):
        run(game, network, data, select={"HJB": WEIGHTS}, validation=None)
    with pytest.raises(ValueError, match="expected a regulariser beside"):
        run(game, network, data, HJB(), select={"HJB": WEIGHTS})
