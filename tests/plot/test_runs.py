"""Figures: what is drawn can be seen."""

import numpy as np
import pytest

from mfgen.plot import _runs as plots
from mfgen.plot._runs import Cloud, Look


def sizes(figure):
    return [
        float(collection.get_sizes()[0]) for axes in figure.axes for collection in axes.collections
    ]


@pytest.mark.parametrize("dim", [2, 4])
def test_few_points_are_drawn_larger(dim):
    def drawn(count):
        points = np.random.default_rng(0).normal(size=(count, dim))
        models = [Cloud(Look("model", "with"), points)]
        if dim == 2:
            return max(sizes(plots.clouds(points, models)))
        return max(sizes(plots.pairs(points, models, [f"x{i}" for i in range(dim)])))

    assert drawn(2000) <= 3
    assert drawn(100) > 1.9 * drawn(2000)
    assert drawn(100) < 12
