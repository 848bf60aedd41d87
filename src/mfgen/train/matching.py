"""Score matching: three estimators of one functional.

With s_theta = -p the model's score and eta(s, .) the noised data, all three minimise

    E_kappa E_eta  sigma^2 | s_theta - grad log eta |^2      (up to a constant)

which is the forward path-KL measured per unit of log kappa, since g^2 ds = 2 sigma^2 d log kappa.

    denoising   E | sigma s_theta(y) + eps |^2                     (y = alpha x + sigma eps)
    implicit    E sigma^2 ( |s_theta|^2 + 2 div s_theta )          = denoising - dim
    sliced      the same with div s_theta = E_v v.(grad s_theta) v (random probes)

References: P. Vincent (2011), "A connection between score matching and denoising autoencoders";
A. Hyvarinen (2005), "Estimation of non-normalized statistical models by score matching";
Y. Song et al., "Sliced score matching" (2019), arXiv 1905.07088.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Costate, Key, Scalar
from mfgen.math.autodiff import divergence, probes
from mfgen.math.count import plain
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising
from mfgen.train.collocation import NoisedData
from mfgen.train.noised import (
    AbstractNoiseLaw,
    LogUniform,
    Noised,
    noised,
    noising_of,
    scaled_score,
)
from mfgen.train.objective import AbstractBundle, AbstractObjective
from mfgen.train.payment import WHOLE, Pays


class DenoisingScoreMatching(AbstractObjective):
    """E | sigma s_theta(s, y) + eps |^2, summed over coordinates.

    Arguments:
        law: the law of the noise level.
    """

    matches: ClassVar[bool] = True
    law: AbstractNoiseLaw = LogUniform()

    def check(self, game: MFG) -> None:
        noising_of(game, "DenoisingScoreMatching")

    def bundle(self) -> AbstractBundle:
        return NoisedData(self.law)

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = noising_of(game, "DenoisingScoreMatching")
        points = noised(noising, self.law, batch, key=key)

        return jnp.mean(jax.vmap(lambda point: self.error(noising, model, point, None))(points))

    def error(
        self, noising: AbstractNoising, model: AbstractModel, point: Noised, costate: Costate | None
    ) -> Scalar:
        """|sigma s + eps|^2 at one noised point, s = -costate, which may be known already."""
        if costate is None:
            costate = model.costate(point.t, point.y)
        return jnp.sum(jnp.square(point.eps - noising.noise(point.s) * costate))


class ImplicitScoreMatching(AbstractObjective):
    """E sigma^2 ( |s_theta|^2 + 2 div s_theta ) with the exact divergence.

    Arguments:
        law: the law of the noise level.
    """

    law: AbstractNoiseLaw = LogUniform()

    def check(self, game: MFG) -> None:
        noising_of(game, "ImplicitScoreMatching")

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = noising_of(game, "ImplicitScoreMatching")
        points = noised(noising, self.law, batch, key=key)

        def loss(point: Noised) -> Scalar:
            slope = divergence(lambda y: _scaled_score_at(model, noising, point, y))(point.y)
            return _implicit(model, noising, point, slope)

        return jnp.mean(jax.vmap(loss)(points))


class SlicedScoreMatching(AbstractObjective):
    """E sigma^2 ( |s_theta|^2 + 2 v.(grad s_theta) v ), averaged over random probes v.

    Arguments:
        slices: the number of Rademacher probes for each point.
        law: the law of the noise level.
    """

    slices: int = eqx.field(static=True, default=1, converter=plain)
    law: AbstractNoiseLaw = LogUniform()

    def __check_init__(self):
        if self.slices < 1:
            raise ValueError(
                f"`SlicedScoreMatching` got slices = {self.slices}, expected at least 1: "
                "pass slices=1."
            )

    def check(self, game: MFG) -> None:
        noising_of(game, "SlicedScoreMatching")

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = noising_of(game, "SlicedScoreMatching")
        points = noised(noising, self.law, batch, key=key)
        keys = jax.random.split(jax.random.fold_in(key, 1), batch.shape[0])

        def loss(point: Noised, key: Key) -> Scalar:
            field = lambda y: _scaled_score_at(model, noising, point, y)
            directions = probes(key, self.slices, point.y.size)
            slope = lambda v: v @ jax.jvp(field, (point.y,), (v,))[1]
            return _implicit(model, noising, point, jnp.mean(jax.vmap(slope)(directions)))

        return jnp.mean(jax.vmap(loss)(points, keys))


def _scaled_score_at(model: AbstractModel, noising: AbstractNoising, point: Noised, y):
    return scaled_score(model, noising, point._replace(y=y))


def _implicit(model: AbstractModel, noising: AbstractNoising, point: Noised, slope) -> Scalar:
    square = jnp.sum(jnp.square(scaled_score(model, noising, point)))
    return square + 2 * noising.noise(point.s) * slope
