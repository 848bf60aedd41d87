"""A potential of a reversed noising at other costs, whose control begins as that of the score.

Without control a reversed noising spreads particles by the inverse of its signal, some 150 times
for `VP()`, and no descent comes back from there. In the score-based game the control

    v_0(t, x) = -g (x - m) / w^2,     m, w: mean and deviation of the noised data,

the score of a Gaussian times g, keeps them in place. At another Lagrangian the same *potential* has
another control: with |v|^2 / 2 + |v|^4 / 4 it is the cube root where it is large, and too weak. So
it is the control that is kept, and the potential that follows from it by duality,

    U_0(t, x) = (w / g)^2 ( L(t, m, v_0) - L(t, m, 0) ),      -g grad U_0 = grad_v L(t, m, v_0)

so that argmax_v { -g grad U_0 . v - L } = v_0 wherever L is the same at x as at m, up to what does
not depend on v. For L = |v|^2 / 2 + c it is -log N(m, w^2) up to a constant. A network corrects it,

    U = U_0 - (1 + A) r f(z, level),     r = 2 (w / g)^2 ( L(t, m, g e / w) - L(t, m, 0) ), |e| = 1,

by r, the size of L beside |v|^2 / 2, times the scale A of `mfgen.models._precondition` and one: the
noisy end, where A vanishes, is no Gaussian's of these games. The correction is zero to begin with.

Reference: R. T. Rockafellar, "Convex analysis" (1970), section 26 (conjugate slopes).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfgen._types import Key, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.models._base import AbstractPotential
from mfgen.models._mlp import MLP
from mfgen.models._precondition import AbstractScaling
from mfgen.models._reference import untrainable
from mfgen.models._score import silent

_FAR = 4.0  # deviations out to which the start has to be finite
_SAME = 1e-3  # relative, of what counts as |v|^2 / 2


class ConjugatePotential(AbstractPotential):
    """U_0, whose control is that of the score of a Gaussian, and a network that corrects it.

    Arguments:
        precondition: noise-aware scaling of the noising and its data.
        lagrangian: L of the points, which is not trained.
        trunk: takes a point `[dim]`, its label beside it, and a level, returns shape `[1]`.
    """

    precondition: AbstractScaling
    lagrangian: AbstractLagrangian
    trunk: MLP

    def __call__(self, t: Time, x: State) -> Scalar:
        scaling = self.precondition
        s = scaling.noising.horizon - t
        z, speed = scaling.point(s, x), _speed(scaling, s)
        unit = jnp.full_like(z, z.size**-0.5)
        stiffness = 2 * self._height(s, speed * unit) / jnp.square(speed)
        correction = self.trunk(scaling.inputs(s, x), scaling.level(s))[0]
        start = self._height(s, -speed * z) / jnp.square(speed)
        constant = z.size * (jnp.log(scaling.width(s)) + 0.5 * jnp.log(2 * jnp.pi))
        return start + constant - (1 + scaling.amplitude(s)) * stiffness * correction

    def _height(self, s: Time, v: State) -> Scalar:
        """L(t, m, v) - L(t, m, 0)."""
        return _rise(untrainable(self.lagrangian), self.precondition, s, v)


def conjugate_potential(
    scaling: AbstractScaling, lagrangian: AbstractLagrangian, *, key: Key
) -> ConjugatePotential | None:
    """The potential for a Lagrangian, or `None` where that of the score begins as well or better.

    So it does where L is |v|^2 / 2 up to what does not depend on v, where the control of the score
    is not allowed, and where noise enters by a matrix.

    Arguments:
        scaling: of the score-based game of the same noising and data.
        lagrangian: L of the game's points.
        key: random key for the initial weights.
    """
    noising = scaling.noising
    if jnp.ndim(noising.diffusion(noising.horizon)):
        return None
    axes = _FAR * jnp.eye(scaling.dim)
    sizes = jnp.concatenate([scale * axes for scale in (-1.0, -0.25, 0.25, 1.0)])

    def rises(s: Scalar) -> tuple[Array, Array]:
        v = _speed(scaling, s) * sizes
        found = jax.vmap(lambda v: _rise(lagrangian, scaling, s, v))(v)
        return found, 0.5 * jnp.sum(jnp.square(v), axis=1)

    times = jnp.linspace(noising.start, noising.horizon, 5)
    found, usual = (np.asarray(part) for part in jax.vmap(rises)(times))
    if not np.isfinite(found).all() or np.allclose(found, usual, rtol=_SAME):
        return None
    trunk = silent(MLP(scaling.dim + scaling.labels, 1, key=key))
    return ConjugatePotential(scaling, lagrangian, trunk)


def _speed(scaling: AbstractScaling, s: Time) -> Scalar:
    """g / w, the size of the control of the score."""
    return scaling.noising.diffusion(s) / scaling.width(s)


def _rise(lagrangian: AbstractLagrangian, scaling: AbstractScaling, s: Time, v: State) -> Scalar:
    t, centre = scaling.noising.horizon - s, scaling.centre(s).astype(v.dtype)
    return lagrangian(t, centre, v) - lagrangian(t, centre, jnp.zeros_like(v))
