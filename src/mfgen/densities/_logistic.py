"""Bayesian logistic regression: a posterior over coefficients, known by its energy.

    P(y_i = 1 | theta) = 1 / (1 + exp(-z_i)),      z_i = w.f_i + b,      theta = (w, b)
    V(theta) = sum_i log(1 + exp(-s_i z_i)) + |theta|^2 / (2 s^2),      s_i = 2 y_i - 1

minus the log-likelihood and minus the log of the prior N(0, s^2 I), the latter without its
normalisation: the evidence of the model is

    log P(y) = log Z - (dim / 2) log(2 pi s^2),      Z = int exp(-V).

V is strictly convex, so that the posterior has one mode; where the classes can be separated it is
skewed, and the prior alone bounds the coefficients.

Reference: C. M. Bishop, "Pattern recognition and machine learning" (2006), section 4.5.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.densities._base import Values
from mfgen.densities._energy import Unnormalised
from mfgen.math import _entry


class Logistic(eqx.Module):
    """The energy V of a logistic regression, a function of theta `[features + 1]`.

    Arguments:
        features: `[n, features]`; a column of ones is appended, for the intercept b.
        labels: `[n]`, 0 or 1.
        prior_scale: s, the standard deviation of every coefficient before the data.

    Raises:
        ValueError: for features that are no matrix of finite numbers, labels that are not one 0 or
            1 for each row, or a scale that is not positive and finite.
    """

    design: Float[Array, "n dim"]
    signs: Float[Array, "n"]
    prior_scale: Scalar

    def __init__(self, features: Values, labels: Values, prior_scale: float = 1.0):
        matrix = np.asarray(_entry.real(features, "`Logistic` got features with"), float)
        classes = np.asarray(_entry.real(labels, "`Logistic` got labels with"))
        if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
            raise ValueError(
                f"`Logistic` got features of shape {matrix.shape}, expected [n, features], all "
                "finite: pass one row for each label."
            )
        if classes.shape != matrix.shape[:1] or not np.isin(classes, (0, 1)).all():
            raise ValueError(
                f"`Logistic` got labels of shape {classes.shape} with the values "
                f"{np.unique(classes)[:5]}, expected {len(matrix)} of them, each 0 or 1."
            )
        if not 0 < prior_scale < np.inf:
            raise ValueError(
                f"`Logistic` got prior_scale = {prior_scale}, expected a positive number: without "
                "a prior the posterior of separable classes cannot be normalised."
            )
        self.design = jnp.asarray(np.append(matrix, np.ones((len(matrix), 1)), axis=1), float)
        self.signs = jnp.asarray(2.0 * classes - 1.0, float)
        self.prior_scale = jnp.asarray(prior_scale, float)

    def log_likelihood(self, theta: State) -> Float[Array, "n"]:
        """log P(y_i | theta) of each label; of held-out ones for a `Logistic` made of them."""
        return -jax.nn.softplus(-self.signs * (self.design @ theta))

    def __call__(self, theta: State) -> Scalar:
        prior = 0.5 * jnp.sum(jnp.square(theta / self.prior_scale))
        return prior - jnp.sum(self.log_likelihood(theta))


def logistic_posterior(features: Values, labels: Values, prior_scale: float = 1.0) -> Unnormalised:
    """Return the posterior exp(-V) / Z of a logistic regression, of dimension features + 1.

    Arguments:
        those of `Logistic`.
    """
    energy = Logistic(features, labels, prior_scale)
    return Unnormalised(energy, energy.design.shape[1])
