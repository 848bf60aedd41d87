"""Posteriors of real data as targets of a game: known by their energy, without samples.

    M(rho) = KL(rho(T) || exp(-V) / Z),      V = -log likelihood - log prior

The data are standardised, so that one scale of the prior suits all coefficients.

References:
    C. M. Bishop, "Pattern recognition and machine learning" (2006), section 4.5.
    W. Wolberg et al., Breast cancer Wisconsin (diagnostic), UCI (1995).
"""

import numpy as np

from mfgen.data._embedded import breast_cancer
from mfgen.densities._energy import Unnormalised
from mfgen.densities._logistic import logistic_posterior


def breast_cancer_posterior(prior_scale: float = 1.0, *, seed: int = 0) -> Unnormalised:
    """Return the posterior of a logistic regression of 455 tumours, in dimension 31.

    Thirty standardised features and an intercept, which comes last; label 1 is a benign tumour. The
    data are the training part of `breast_cancer(seed=seed)`; its validation and test parts are free
    for predictions.

    Arguments:
        prior_scale: standard deviation of every coefficient before the data.
        seed: of the data set's dequantisation and split.
    """
    data = breast_cancer(seed=seed)
    assert data.labels is not None
    return logistic_posterior(data.train, np.asarray(data.labels.train), prior_scale)
