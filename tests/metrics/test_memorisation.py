import numpy as np
import pytest

from mfgen.metrics import copying_probability, memorisation_ratio


def cloud(seed, n=400, dim=2):
    return np.random.default_rng(seed).normal(size=(n, dim))


TRAIN, FRESH = cloud(0), cloud(1)


def test_copies_have_ratio_zero():
    # The errors are those of one point among a hundred that is no copy.
    assert memorisation_ratio(TRAIN[:100], TRAIN, FRESH) == (0.0, pytest.approx(0.01))
    assert copying_probability(TRAIN[:100], TRAIN, FRESH) == (1.0, pytest.approx(0.01))


def test_fresh_data_have_ratio_one(within):
    within(memorisation_ratio(cloud(2), TRAIN, FRESH), 1.0)
    within(copying_probability(cloud(2), TRAIN, FRESH), 0.5)


def test_half_copies(within):
    generated = np.concatenate([cloud(3), TRAIN])
    within(memorisation_ratio(generated, TRAIN, FRESH), 0.5)
    within(copying_probability(generated, TRAIN, FRESH), 0.75)


def test_ties_count_half():
    held_out = np.concatenate([FRESH, TRAIN])
    assert copying_probability(TRAIN[:100], TRAIN, held_out).value == pytest.approx(0.75)


@pytest.mark.parametrize("metric", [memorisation_ratio, copying_probability])
def test_errors_are_calibrated(calibrated, metric):
    # Against a long run of the same metric: the training set is given.
    scale = 1.3
    reference = metric(scale * cloud(4, 20000), TRAIN, cloud(5, 20000))
    calibrated(
        lambda seed: metric(scale * cloud((seed, 6), 80), TRAIN, cloud((seed, 7), 60)),
        150,
        float(reference.value),
    )


def test_outliers_hide_copies_from_the_ratio_only():
    generated = np.concatenate([TRAIN, [[1000.0, 0.0]]])
    assert memorisation_ratio(generated, TRAIN, FRESH).value > 1
    assert copying_probability(generated, TRAIN, FRESH).value > 0.95


def test_refuses_held_out_data_from_the_training_set():
    with pytest.raises(ValueError, match="split the data before training"):
        memorisation_ratio(FRESH, TRAIN, TRAIN[:10])
