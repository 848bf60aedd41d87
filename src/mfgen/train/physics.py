"""Residuals of the game's own equations as regularisers.

    HJB        R = E w(t) | c (-dt U + H(t, x, grad U) - (sigma^2/2) lap U - dI/drho) |^q
    ScoreHJB   R = E w(t) c^2 sigma^2 | grad of the same, written for p = grad U |^2

U is the model, H is derived from the game; c is the factor of the collocation rule (for score games
2 sigma^2 / g^2, residuals per unit of log kappa), w a weight of one's choice. The Laplacian is
exact (one forward pass) or estimated by Hutchinson probes; then |.|^2 is the mean product of
independent pairs of estimates, which is unbiased, where the square of one estimate would be too
large by its variance.

For a score-based game `HJB` ties the potentials of all noise levels together, down from the
normalised reference at the noisy end, so that -U(t, x) becomes a log-density.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 5 (HJB regularisers);
C.-H. Lai et al. (2023), arXiv 2210.04296 (the score form; its divergence enters with plus).
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Key, Scalar
from mfgen.derive.costate import hjb_gradient
from mfgen.math.chunk import chunked_mean
from mfgen.models.base import AbstractModel, AbstractPotential
from mfgen.problem.game import MFG
from mfgen.train.collocation import AbstractCollocation, NoisedData
from mfgen.train.joint import ScoreAndResidual
from mfgen.train.laplacian import AbstractLaplacian, Exact, Hutchinson, probe_keys
from mfgen.train.matching import DenoisingScoreMatching
from mfgen.train.noised import moving, process_of
from mfgen.train.objective import AbstractObjective, AbstractPair
from mfgen.train.payment import Pays
from mfgen.train.penalty import AbstractPenalty, Squared, penalise
from mfgen.train.weighting import AbstractWeighting, Flat


class HJB(AbstractObjective):
    """The Hamilton-Jacobi-Bellman residual of a potential, as a penalty.

    Arguments:
        penalty: `Squared()`, `Absolute()` or `Huber(delta)`.
        collocation: where the residual is measured, see `mfgen.train.collocation`.
        laplacian: `Exact()` or `Hutchinson(count)`; the latter only with `Squared()`.
        points: how many points of the batch are used; `None` for all.
        weighting: w(t), `Flat()` or `RatioPower(exponent)`.

    Raises:
        ValueError: for a stochastic Laplacian under a penalty other than `Squared()`.
        TypeError: on a model that is no potential.
    """

    regularises: ClassVar[bool] = True
    penalty: AbstractPenalty = Squared()
    collocation: AbstractCollocation = NoisedData()
    laplacian: AbstractLaplacian = Exact()
    points: int | None = eqx.field(static=True, default=64)
    weighting: AbstractWeighting = Flat()

    def __check_init__(self):
        _check.of_kinds(
            self,
            penalty=(AbstractPenalty, "pass `Squared()`"),
            collocation=(AbstractCollocation, "pass `NoisedData()`"),
            laplacian=(AbstractLaplacian, "pass `Exact()`"),
            weighting=(AbstractWeighting, "pass `Flat()`"),
        )
        if isinstance(self.laplacian, Hutchinson) and not isinstance(self.penalty, Squared):
            raise ValueError(
                f"`HJB` got `Hutchinson` with `{type(self.penalty).__name__}`, expected "
                "`Squared()`: only products of independent estimates are unbiased."
            )
        if self.points is not None and self.points < 1:
            raise ValueError(
                f"`HJB` got points = {self.points}, expected at least 1: pass points=64, or None "
                "for the whole batch."
            )

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        if not isinstance(model, AbstractPotential):
            raise TypeError(
                f"`HJB` got a model `{type(model).__name__}` without a value function, expected "
                "an `AbstractPotential`: use `score_potential`, or `ScoreHJB` for vector fields."
            )
        points = self.collocation(game, batch, self.points, key=key)
        keys = probe_keys(key, points.t.shape[0])

        def penalised(model: AbstractPotential, sample) -> Scalar:
            (t, x, factor), key = sample
            residuals = self.laplacian.residuals(game, model, t, x, key=key)
            return self.weighting(game, t) * penalise(self.penalty, factor * residuals.values)

        return chunked_mean(penalised, model, (tuple(points), keys))

    def pays(self, game: MFG) -> Pays:
        return Pays(equations=frozenset({"hjb"}))

    def joined(self, other: AbstractObjective, model: AbstractModel) -> AbstractPair | None:
        """Score matching at the same noised points shares the evaluation of the network there."""
        if not (
            isinstance(other, DenoisingScoreMatching)
            and isinstance(self.collocation, NoisedData)
            and self.collocation.law == other.law
            and isinstance(model, AbstractPotential)
        ):
            return None
        return ScoreAndResidual(
            other.law, self.penalty, self.laplacian, self.weighting, self.points
        )


class ScoreHJB(AbstractObjective):
    """The gradient of the Hamilton-Jacobi-Bellman equation, for models of the score alone.

    It is the score Fokker-Planck equation: with s = grad log eta,
    ds/ds_time = grad( (g^2/2)(div s + |s|^2) + f.s + div f ). The residual is multiplied by the
    noise sigma, as scores are in score matching.

    Arguments:
        collocation: where the residual is measured.
        points: how many points of the batch are used; `None` for all.
        weighting: w(t), `Flat()` or `RatioPower(exponent)`.
    """

    regularises: ClassVar[bool] = True
    collocation: AbstractCollocation = NoisedData()
    points: int | None = eqx.field(static=True, default=64)
    weighting: AbstractWeighting = Flat()

    def __check_init__(self):
        _check.of_kinds(
            self,
            collocation=(AbstractCollocation, "pass `NoisedData()`"),
            weighting=(AbstractWeighting, "pass `Flat()`"),
        )

    def pays(self, game: MFG) -> Pays:
        return Pays(equations=frozenset({"hjb"}))

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = process_of(game, "ScoreHJB")
        points = self.collocation(game, batch, self.points, key=key)

        def penalised(model: AbstractModel, sample) -> Scalar:
            t, x, factor = sample
            scale = factor * noising.noise(noising.horizon - t)
            residual = scale * moving(game, hjb_gradient(game, model.costate, None, t, x))
            return self.weighting(game, t) * jnp.sum(jnp.square(residual))

        return chunked_mean(penalised, model, tuple(points))
