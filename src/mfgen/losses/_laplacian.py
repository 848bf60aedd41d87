"""The HJB residual at a point, its Laplacian exact or estimated by random probes.

    R = H(t, x, grad U) - (dt U + tr(sigma sigma^T Hess U) / 2)

`Exact` takes all derivatives in one forward pass. `Hutchinson` has an independent estimate of R for
each probe z, from the second derivative along v = sigma z; the mean product of pairs of them
estimates R^2 without bias. Either way grad U comes with the residual: whoever needs the score at
the same point has it.

References: R. Li et al. (2023), arXiv 2307.08214 (forward Laplacian); M. F. Hutchinson (1989).
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float

from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.derive._residual import game_jet, hjb_from_jet
from mfgen.games._game import MFG
from mfgen.math._autodiff import HeatJet, probes, stochastic_jet
from mfgen.math._count import count, plain
from mfgen.math._linear_map import image, source_size
from mfgen.models._base import AbstractPotential


class Residuals(NamedTuple):
    """The HJB residual of a potential at one point.

    Attributes:
        values: its exact value `[1]`, or independent estimates `[probes]`.
        costate: grad U, shape `[dim]`.
    """

    values: Float[Array, "estimates"]
    costate: Costate


class AbstractLaplacian(eqx.Module):
    """The method for a residual's Laplacian: exact, or by independent estimates."""

    @abstractmethod
    def residuals(
        self, game: MFG, model: AbstractPotential, t: Time, x: State, *, key: Key
    ) -> Residuals:
        """The residual at one point, exact or estimated, and grad U which comes with it."""


class Exact(AbstractLaplacian):
    """The exact Laplacian in one forward pass; its cost grows with the dimension."""

    def residuals(
        self, game: MFG, model: AbstractPotential, t: Time, x: State, *, key: Key
    ) -> Residuals:
        del key
        jet = game_jet(game, model, t, x)
        return Residuals(hjb_from_jet(game, jet, None, t, x)[None], jet.gradient)


class Hutchinson(AbstractLaplacian):
    """Independent estimates v.(Hess U) v with v = sigma z and random signs z; two gradients.

    Arguments:
        count: the number of probes for each point, at least 2.
    """

    count: int = eqx.field(static=True, default=2, converter=plain)

    def __check_init__(self):
        if count("Hutchinson", "count", self.count) < 2:
            raise ValueError(
                f"`Hutchinson` got count = {self.count}, expected at least 2: the square of a "
                "single estimate is biased by its variance."
            )

    def residuals(
        self, game: MFG, model: AbstractPotential, t: Time, x: State, *, key: Key
    ) -> Residuals:
        sigma = game.dynamics.diffusion(t)
        signs = probes(key, self.count, source_size(sigma, x.size))
        directions = jax.vmap(lambda z: image(sigma, z))(signs)
        value, time, gradient, bends = stochastic_jet(model)(t, x, directions.astype(x.dtype))

        def residual(bend: Scalar) -> Scalar:
            jet = HeatJet(value, time + 0.5 * bend, gradient)
            return hjb_from_jet(game, jet, None, t, x)

        return Residuals(jax.vmap(residual)(bends), gradient)


def probe_keys(key: Key, count: int) -> Array:
    """The keys of the probes at `count` points, for a step with the given key."""
    return jax.random.split(jax.random.fold_in(key, 3), count)
