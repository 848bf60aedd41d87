"""Points with labels: the laws between which a conditional flow moves.

A label y is a coordinate that does not move. The state is z = (x, y), a row `[dim + labels]` with
the label last: the one-hot vector of a class, or any numbers that the points depend on.

    data        (1/n) sum_i delta(x_i, y_i)                     `LabelledPoints`
    reference   pi(x) times the labels' own law                 `Labelled`

x and y are independent in the reference, so a flow from one to the other that leaves y alone is,
for each label, a flow from the law of x given y to pi. Densities are taken with respect to
Lebesgue measure in x times the labels' law: log rho(z) is log rho(x | y), the density of the point
given its label, which integrates to one over x for every y. The law of the labels needs no model.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Key, Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Values,
    Weights,
    weighted_moments,
)
from mfgen.math import _entry
from mfgen.math._count import count

Rows = Float[Array, "n labels"]
_LABELS = "; class numbers become one by `one_hot`"


class LabelledPoints(AbstractDensity):
    """The uniform law on data points with their labels: the data of a conditional flow.

    Arguments:
        points: `[n, dim]`.
        labels: their labels, `[n, labels]`, such as `one_hot(classes, 10)`.
        unlabelled: a share of rows, in addition to the labelled ones, whose label is zeros: from
            them a model learns the law of all points, which guidance needs (`sample_given`).

    Raises:
        ValueError: for a share outside [0, 1), or with it a label of zeros; for other shapes,
            numbers that are not finite, or a label coordinate that is the same for all points, such
            as that of a class without any.

    Example:

        law = LabelledPoints(points, one_hot(classes, 10))
        recipe = ot_flow(law, key=key)
        model, _ = mfgen.zoo.train(recipe, law.rows, steps=1000, key=key)
    """

    rows: Batch
    labels: Rows

    def __init__(self, points: Values, labels: Values, unlabelled: float = 0.0):
        self.labels = _entry.rows("LabelledPoints", "labels", labels, _LABELS)
        self.rows = labelled(_entry.rows("LabelledPoints", "points", points), self.labels)
        if unlabelled:
            self._add_unlabelled(unlabelled)
        if not isinstance(self.labels, Tracer) and self.labels.shape[0] > 1:
            values = np.asarray(self.labels)
            still = np.flatnonzero(values.min(axis=0) == values.max(axis=0))
            if still.size:
                raise ValueError(
                    f"`LabelledPoints` got labels with the same coordinate {still[0]} for all "
                    "points, expected it to vary: leave out a class that has no points, or has "
                    "them all."
                )

    def _add_unlabelled(self, share: float) -> None:
        advice = "pass unlabelled=0.1"
        _check.a_number("LabelledPoints", "unlabelled", share, advice)
        if not 0 < share < 1:
            raise ValueError(
                f"`LabelledPoints` got unlabelled = {share:g}, expected a share in [0, 1): "
                f"{advice}."
            )
        sizes = np.abs(np.asarray(self.labels)).max(axis=1)
        if sizes.min() <= 1e-3 * sizes.max():
            raise ValueError(
                f"`LabelledPoints` got unlabelled = {share:g} with a label of zeros in row "
                f"{int(np.argmin(sizes))}, expected none, as zeros stand for no label: pass "
                "classes by `one_hot`, and numbers moved away from zero."
            )
        count = len(self.rows)
        # In a fixed order at random: rows may come sorted by their labels.
        order = jax.random.permutation(jax.random.key(0), count)
        chosen = order[jnp.arange(round(count * share / (1 - share))) % count]
        width = self.labels.shape[1]
        self.rows = jnp.concatenate([self.rows, self.rows[chosen].at[:, -width:].set(0.0)])
        self.labels = jnp.pad(self.labels, ((0, len(chosen)), (0, 0)))

    @property
    def dim(self) -> int:
        """The size of a row, point and label."""
        return self.rows.shape[1]

    def sample(self, n: int, *, key: Key) -> Batch:
        """Draw `n` rows with replacement."""
        return _drawn(self.rows, n, key)

    def particles(self) -> tuple[Batch, Weights]:
        n = self.rows.shape[0]
        return self.rows, jnp.full(n, 1.0 / n, self.rows.dtype)


class Labelled(AbstractEvaluable):
    """x of a given law, and independent of it a label y, uniform on given rows.

    `log_density` of (x, y) is log pi(x), with respect to Lebesgue measure in x times the labels'
    law. Nothing is asked of y: the law of x is the same for any label.

    Arguments:
        law: pi, the law of x.
        labels: the labels, `[n, labels]`; a single row fixes the label.

    Raises:
        ValueError: if the labels are not a matrix of finite numbers.
    """

    law: AbstractEvaluable
    labels: Rows

    def __init__(self, law: AbstractEvaluable, labels: Values):
        self.law = law
        self.labels = _entry.rows("Labelled", "labels", labels, _LABELS)

    @property
    def dim(self) -> int:
        """The size of a row, point and label."""
        return self.law.dim + self.labels.shape[1]

    def log_density(self, x: State) -> Scalar:
        """log pi of the point in the row `[dim]`: its log-density given its label."""
        x = _entry.point("Labelled", x, self.dim)
        return self.law.log_density(x[: self.law.dim])

    def sample(self, n: int, *, key: Key) -> Batch:
        point_key, label_key = jax.random.split(key)
        points = self.law.sample(n, key=point_key)
        return labelled(points, _drawn(self.labels, n, label_key).astype(points.dtype))

    def moments(self) -> tuple[State, Matrix]:
        n = self.labels.shape[0]
        mean, covariance = self.law.moments()
        level, spread = weighted_moments(self.labels, jnp.full(n, 1.0 / n, self.labels.dtype))
        joint = jax.scipy.linalg.block_diag(covariance, spread)
        return jnp.concatenate([mean, level]), joint


def labelled(points: Values, labels: Values) -> Batch:
    """Rows (x, y) of points and their labels, `[n, dim + labels]`.

    Arguments:
        points: `[n, dim]`.
        labels: `[n, labels]`, or one label `[labels]` for all points.

    Raises:
        ValueError: for other shapes, unequal numbers of rows, or numbers that are not finite.
    """
    points = _entry.rows("labelled", "points", points)
    given = _entry.given(labels, "`labelled` got labels with")
    if given.ndim == 1:
        given = jnp.broadcast_to(jnp.asarray(given)[None], (points.shape[0], given.size))
    given = _entry.rows("labelled", "labels", given, _LABELS)
    if given.shape[0] != points.shape[0]:
        raise ValueError(
            f"`labelled` got {points.shape[0]} points and {given.shape[0]} labels, expected as "
            "many: pass one row of labels for each point, or one label for all."
        )
    return jnp.concatenate([points, given.astype(points.dtype)], axis=1)


def one_hot(labels: Values, classes: Count) -> Float[Array, "*shape classes"]:
    """The unit vectors of class numbers 0, ..., classes - 1, of shape `[..., classes]`.

    Arguments:
        labels: whole numbers, of any shape; `one_hot(3, 10)` is one label.
        classes: how many classes there are.

    Raises:
        ValueError: for fewer than two classes, or labels that are no whole numbers in the range.
    """
    advice = "data of one class need no labels"
    classes = count("one_hot", "classes", classes, least=2, advice=advice)
    numbers = _entry.given(labels, "`one_hot` got labels with")
    if not isinstance(numbers, Tracer):
        values = np.asarray(numbers)
        wrong = ~((values >= 0) & (values < classes) & (values == np.floor(values)))
        if wrong.any():
            first = values.reshape(-1)[int(np.argmax(wrong.reshape(-1)))]
            raise ValueError(
                f"`one_hot` got the label {first:g}, expected whole numbers from 0 to "
                f"{classes - 1}: pass classes={classes} only if all labels are below it, and "
                "number the classes from 0."
            )
    return jax.nn.one_hot(numbers.astype(int), classes, dtype=jnp.result_type(float))


def _drawn(rows: Batch, n: int, key: Key) -> Float[Array, "drawn dim"]:
    return rows[jax.random.randint(key, (n,), 0, rows.shape[0])]
