"""Score matching and the HJB residual in one pass over the noised points which they share.

    w_1 (1/n) sum_{i<n} |sigma grad U_i - eps_i|^2  +  w_2 (1/m) sum_{shared i} w(t_i) |c_i R_i|^q

The residual at a point carries grad U along, which is all that score matching asks for. So the
n - m other points alone are evaluated for score matching, the m shared ones once for both terms.
The values are those of the two objectives on their own, with the same key.
"""

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar
from mfgen.math.chunk import chunked_mean
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.train.collocation import log_ratio_factor, others, subset_index
from mfgen.train.laplacian import AbstractLaplacian, probe_keys
from mfgen.train.matching import denoising_error
from mfgen.train.noised import AbstractNoiseLaw, forward_of, moving, noised
from mfgen.train.objective import AbstractPair, Weighted
from mfgen.train.penalty import AbstractPenalty, penalise
from mfgen.train.weighting import AbstractWeighting


class ScoreAndResidual(AbstractPair):
    """Denoising score matching, and the HJB residual at some of its points.

    Arguments:
        law: the law of the noise level.
        penalty, laplacian, weighting, points: as in `HJB`.
    """

    law: AbstractNoiseLaw
    penalty: AbstractPenalty
    laplacian: AbstractLaplacian
    weighting: AbstractWeighting
    points: int | None

    def __call__(
        self,
        weights: tuple[float, float],
        game: MFG,
        model: AbstractModel,
        batch: Batch,
        *,
        key: Key,
    ) -> Weighted:
        noising = forward_of(game, "ScoreAndResidual")
        everything = noised(noising, self.law, batch, key=key, fixed=game.dynamics.fixed)
        n = batch.shape[0]
        shared = subset_index(n, self.points, key=key)
        apart = others(n, shared)
        score_weight, residual_weight = weights
        share = len(shared) / n

        def both(model, sample) -> tuple[Scalar, tuple[Scalar, Scalar]]:
            point, key = sample
            residuals = self.laplacian.residuals(game, model, point.t, point.y, key=key)
            error = denoising_error(noising, moving(game, residuals.costate), point)
            values = log_ratio_factor(noising, point.s) * residuals.values
            penalty = self.weighting(game, point.t) * penalise(self.penalty, values)
            terms = score_weight * share * error, residual_weight * penalty
            return terms[0] + terms[1], terms

        def score(point) -> Scalar:
            return denoising_error(noising, moving(game, model.costate(point.t, point.y)), point)

        chosen = jax.tree.map(lambda leaf: leaf[shared], everything)
        keys = probe_keys(key, len(shared))
        total, (matched, penalised) = chunked_mean(both, model, (chosen, keys), reports=True)
        if len(apart):
            rest = jax.tree.map(lambda leaf: leaf[apart], everything)
            left = score_weight * jnp.sum(jax.vmap(score)(rest)) / n
            total, matched = total + left, matched + left
        return Weighted(total, (matched, penalised))
