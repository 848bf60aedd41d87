"""Validation: the fit to held-out data alone, at many noise levels, with common draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.losses import HJB, DenoisingScoreMatching, LogUniform, ScoreHJB
from mfgen.losses._noised import noised
from mfgen.trainers._validation import LEAST_ROWS, Validation, parts

MATCHING = DenoisingScoreMatching()
KEY = jax.random.key(3)


def judged(game, network, objective, samples, *, key=KEY):
    parameters, static = eqx.partition(network, eqx.is_inexact_array)
    return Validation(game, 1.0 * objective, static, samples, key=key)(parameters)


def test_regularisers_do_not_count(game, network, data):
    plain = judged(game, network, MATCHING, data)
    for term in (HJB(), ScoreHJB()):
        assert judged(game, network, MATCHING + 5.0 * term, data) == plain
    assert judged(game, network, 2.0 * MATCHING, data) == 2.0 * plain


def test_what_is_all_regulariser_counts_as_a_whole(game, network, data):
    value = judged(game, network, HJB(points=8), data)
    assert judged(game, network, 3.0 * HJB(points=8), data) == pytest.approx(3.0 * value, rel=1e-5)


def test_the_draws_are_those_of_the_key(game, network, data):
    values = [judged(game, network, MATCHING, data[:15], key=key) for key in (KEY, KEY)]
    assert values[0] == values[1]
    assert judged(game, network, MATCHING, data[:15], key=jax.random.key(4)) != values[0]


@pytest.mark.parametrize(("n", "dim"), [(15, 2), (LEAST_ROWS, 2), (9000, 2), (180, 784)])
def test_rows_are_repeated_as_a_whole_and_none_is_lost(n, dim):
    rows = jnp.arange(n * dim, dtype=jnp.float32).reshape(n, dim)
    found = parts(rows)
    firsts, counts = np.unique(np.concatenate([part[:, 0] for part in found]), return_counts=True)
    assert np.array_equal(firsts, np.asarray(rows[:, 0]))
    assert set(counts.tolist()) == {-(-LEAST_ROWS // n)}
    assert max(part.size for part in found) <= 2**19
    assert max(len(part) for part in found) - min(len(part) for part in found) <= 1


def test_each_row_meets_levels_from_the_lowest_to_the_highest(game):
    noising = game.dynamics.noising
    ends = np.log([float(noising.ratio(s)) for s in (noising.start, noising.horizon)])
    for n, dim in ((15, 2), (180, 784)):
        rows = jnp.tile(jnp.arange(n, dtype=jnp.float32)[:, None], (1, dim))
        levels = []
        for part in parts(rows):
            s = noised(noising, LogUniform(), part[:, :2], key=KEY).s
            ratio = np.log(jax.vmap(noising.ratio)(s))
            levels.append(ratio[np.asarray(part[:, 0]) == 7])
        place = np.sort((np.concatenate(levels) - ends[0]) / (ends[1] - ends[0]))
        even = (np.arange(len(place)) + 0.5) / len(place)
        assert np.max(np.abs(place - even)) < 1.5 / len(place)
