"""Score matching: three estimators of one functional.

With s_theta = -p the model's score and eta(s, .) the noised data, all three minimise

    E_kappa E_eta  sigma^2 | s_theta - grad log eta |^2      (up to a constant)

which is the forward path-KL measured per unit of log kappa, since g^2 ds = 2 sigma^2 d log kappa.

    denoising   E | sigma s_theta(y) + eps |^2                     (y = alpha x + sigma eps)
    implicit    E sigma^2 ( |s_theta|^2 + 2 div s_theta )          = denoising - dim
    sliced      the same with div s_theta = E_v v.(grad s_theta) v (random probes)

For a noising with a kernel N(M y_0, R R^T) the first is E | R^T s_theta(y) + eps |^2. The others
ask for points of eta alone, so that they hold for any forward process, its points being simulated.
Of a point with its label only the point is noised, and div is taken along it: then eta is the law
of the point given the label.

References: P. Vincent (2011), "A connection between score matching and denoising autoencoders";
A. Hyvarinen (2005), "Estimation of non-normalized statistical models by score matching";
Y. Song et al., "Sliced score matching" (2019), arXiv 1905.07088.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Costate, Key, Scalar, State
from mfgen.dynamics._noising import AbstractForward
from mfgen.games._game import MFG
from mfgen.losses._collocation import NoisedData
from mfgen.losses._noised import (
    AbstractNoiseLaw,
    LogUniform,
    Noised,
    forward_of,
    moving,
    noised,
)
from mfgen.losses._objective import AbstractBundle, AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.math._autodiff import divergence, probes
from mfgen.math._count import plain
from mfgen.models._base import AbstractModel


class DenoisingScoreMatching(AbstractObjective):
    """E | sigma s_theta(s, y) + eps |^2, summed over coordinates.

    Arguments:
        law: the law of the noise level.

    Raises:
        TypeError: for a game whose forward process has no kernel in closed form.
    """

    matches: ClassVar[bool] = True
    law: AbstractNoiseLaw = LogUniform()

    def check(self, game: MFG) -> None:
        process = forward_of(game, "DenoisingScoreMatching")
        if not process.closed:
            raise TypeError(
                f"`DenoisingScoreMatching` got a game of `{type(process).__name__}`, whose law of "
                "Y_s given Y_0 is not known, expected a noising in closed form: train by "
                "`SimulatedScoreMatching()`."
            )

    def bundle(self) -> AbstractBundle:
        return NoisedData(self.law)

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = forward_of(game, "DenoisingScoreMatching")
        points = noised(noising, self.law, batch, key=key, fixed=game.dynamics.fixed)

        return jnp.mean(jax.vmap(lambda point: self.error(game, model, point, None))(points))

    def error(
        self, game: MFG, model: AbstractModel, point: Noised, costate: Costate | None
    ) -> Scalar:
        """|sigma s + eps|^2 at one noised point, s = -costate, which may be known already."""
        noising = forward_of(game, "DenoisingScoreMatching")
        if costate is None:
            costate = model.costate(point.t, point.y)
        return jnp.sum(jnp.square(point.eps - noising.whitened(point.s, moving(game, costate))))


class ImplicitScoreMatching(AbstractObjective):
    """E sigma^2 ( |s_theta|^2 + 2 div s_theta ) with the exact divergence.

    Arguments:
        law: the law of the noise level.
    """

    law: AbstractNoiseLaw = LogUniform()

    def check(self, game: MFG) -> None:
        forward_of(game, "ImplicitScoreMatching")

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = forward_of(game, "ImplicitScoreMatching")
        points = noised(noising, self.law, batch, key=key, fixed=game.dynamics.fixed)

        def loss(point: Noised) -> Scalar:
            field, y = _score(game, model, point)
            return _implicit(noising, point.s, field(y), divergence(field)(y))

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
        forward_of(game, "SlicedScoreMatching")

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        noising = forward_of(game, "SlicedScoreMatching")
        points = noised(noising, self.law, batch, key=key, fixed=game.dynamics.fixed)
        keys = jax.random.split(jax.random.fold_in(key, 1), batch.shape[0])

        def loss(point: Noised, key: Key) -> Scalar:
            field, y = _score(game, model, point)
            slope = lambda v: v @ jax.jvp(field, (y,), (v,))[1]
            slopes = jax.vmap(slope)(probes(key, self.slices, y.size))
            return _implicit(noising, point.s, field(y), jnp.mean(slopes))

        return jnp.mean(jax.vmap(loss)(points, keys))


def _score(game: MFG, model: AbstractModel, point: Noised):
    """The model's score at one noised time as a function of the point alone, and the point."""
    y = moving(game, point.y)
    label = point.y[y.size :]

    def field(y: State) -> State:
        return -moving(game, model.costate(point.t, jnp.concatenate([y, label])))

    return field, y


def _implicit(noising: AbstractForward, s: Scalar, score: State, slope: Scalar) -> Scalar:
    return jnp.square(noising.noise(s)) * (score @ score + 2 * slope)
