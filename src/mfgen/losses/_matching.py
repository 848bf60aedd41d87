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

At small noise a denoising gradient is mostly eps, which says nothing of the data, while what it is
to tell fades like kappa^2. A control variate, the same product at the mean of y given x,

    2 E eps . R^T s_theta(M x) = 0,

taken off takes most of that away: eps . R^T (s_theta(y) - s_theta(M x)) is small where y is near
M x. Then the variance is about that of implicit score matching, without its second derivatives.

References: P. Vincent (2011), "A connection between score matching and denoising autoencoders";
A. Hyvarinen (2005), "Estimation of non-normalized statistical models by score matching";
Y. Song et al., "Sliced score matching" (2019), arXiv 1905.07088; Z. Wang et al. (2020), arXiv
2002.07501, and Y. Song, D. Kingma (2021), arXiv 2101.03288, section 4 (the control variate).
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Costate, Key, Scalar, State
from mfgen.dynamics._dynamics import positive
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
        control_variate: the noise ratio below which the noise of the loss is cut by a control
            variate, in units of the data; `None` for nowhere. It costs an evaluation more for each
            point there, and pays for potentials whose density is read off at the last level.

    Raises:
        TypeError: for a game whose forward process has no kernel in closed form.
        ValueError: for a ratio that is not positive.

    Example:

        loss = DenoisingScoreMatching(control_variate=0.3) + 0.3 * HJB()
    """

    matches: ClassVar[bool] = True
    law: AbstractNoiseLaw = LogUniform()
    control_variate: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.control_variate is not None:
            positive("DenoisingScoreMatching", "control_variate", self.control_variate)

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

        errors = jax.vmap(lambda point: self.error(game, model, point, None))(points)
        if self.control_variate is None:
            return jnp.mean(errors)
        return jnp.mean(errors) - self.variate(game, model, points, batch)

    def variate(self, game: MFG, model: AbstractModel, points: Noised, batch: Batch) -> Scalar:
        """The mean of 2 eps . R^T s(M x) over the batch at small noise, whose expectation is zero.

        Arguments:
            game, model: the game and the model of its score.
            points: the noised rows.
            batch: the rows that they were noised from.
        """
        noising, n = forward_of(game, "DenoisingScoreMatching"), batch.shape[0]
        bound = 0.0 if self.control_variate is None else self.control_variate
        first = self.law.below(noising, bound, n) if bound else 0
        if not first:
            return jnp.zeros((), batch.dtype)

        def product(point: Noised, row: State) -> Scalar:
            x = moving(game, row)
            mean = noising.moved(point.s, x, jnp.zeros_like(point.eps))
            costate = model.costate(point.t, jnp.concatenate([mean, row[x.size :]]))
            found = -2 * point.eps @ noising.whitened(point.s, moving(game, costate))
            return jnp.where(noising.ratio(point.s) < bound, found, 0.0)

        small = jax.tree.map(lambda leaf: leaf[:first], points)
        return jnp.sum(jax.vmap(product)(small, batch[:first])) / n

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
