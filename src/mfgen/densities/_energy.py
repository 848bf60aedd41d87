"""Targets known by their energy alone: Boltzmann laws and posteriors, without samples.

    pi(x) = exp(-V(x)) / Z,      Z = int exp(-V(x)) dx  unknown
    log pi(x) = -V(x) - log Z,   grad log pi = -grad V

A game whose terminal cost is KL(rho(T) || pi) sees pi through its score and through differences of
its log density, which need no Z:

    KL(rho || pi) = E_rho[log rho + V] + log Z,     dM/drho = log rho + V + 1 + log Z

With log Z left out the cost is E_rho[log rho + V], the free energy of rho: it is at least -log Z,
may be negative, and is -log Z at rho = pi. U(T, .) shifts by the same constant, and no optimal
velocity changes. How far rho is from pi, and log Z itself, are told by the importance weights
exp(-V(x)) / rho(x) of points of rho.

References:
    F. Noé, S. Olsson, J. Köhler, H. Wu, "Boltzmann generators" (2019), Science 365, arXiv
    1812.01729.
"""

from collections.abc import Callable
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix, Number, Weights
from mfgen.math import _entry
from mfgen.math._count import count

# Points at once: bounds the memory of energies that are sums over many data.
_CHUNK = 512


class Unnormalised(AbstractEvaluable):
    """The law exp(-V) / Z of an energy V; its log density is -V, up to a constant if Z is unknown.

    It stands wherever only that is asked for, as in `KL(target)`. It breaks two promises of a
    density: the integral of exp(log_density) is Z exp(-log_normaliser) instead of one, and
    `sample`, `moments` and `particles` raise a `TypeError`, since no samples are known.

    Arguments:
        energy: V, takes x of shape `[dim]`, returns a scalar; finite everywhere, see
            `check_energy`.
        dim: dimension of the space.
        log_normaliser: log Z where it is known or estimated; with 0 the log density is -V.

    Raises:
        ValueError: for a dimension below 1, or an energy that is no scalar.

    Example:

        well = Unnormalised(lambda x: jnp.sum((x**2 - 1) ** 2), 2)
        game = MFG(Integrator(), Kinetic(), KL(well), initial=Gaussian(jnp.zeros(2), 1.0))
    """

    energy: Callable[[State], Scalar]
    log_normaliser: Number
    dim: int = eqx.field(static=True)

    def __init__(self, energy: Callable[[State], Scalar], dim: Count, log_normaliser: Number = 0.0):
        dim = count("Unnormalised", "dim", dim, wanted="at least 1")
        takes = "a point x of shape [dim], such as lambda x: 0.5 * x @ x"
        _check.a_function("Unnormalised", "energy", energy, takes)
        _check.a_number("Unnormalised", "log_normaliser", log_normaliser)
        point = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
        shape = jnp.shape(eqx.filter_eval_shape(energy, point))
        if shape != ():
            raise ValueError(
                f"`Unnormalised` got an energy with values of shape {shape} at a point of shape "
                f"({dim},), expected a scalar: write it for one point, and sum over coordinates."
            )
        self.energy = energy
        self.log_normaliser = log_normaliser
        self.dim = dim

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Unnormalised", x, self.dim)
        return -self.energy(x) - self.log_normaliser

    def sample(self, n: int, *, key: Key) -> Batch:
        del n, key
        self._refuse("sample")

    def moments(self) -> tuple[State, Matrix]:
        self._refuse("moments")

    def particles(self) -> tuple[Batch, Weights]:
        self._refuse("particles")

    def _refuse(self, method: str) -> NoReturn:
        raise TypeError(
            f"`Unnormalised.{method}` was called, but an energy comes without samples: sample a "
            "trained model and reweight, `reweighted_mean`, or take a law that can be sampled, "
            "such as `double_well()`."
        )


def check_energy(owner: str, energy: Callable[[State], Scalar], points: Given) -> None:
    """Raises in the name of `owner` unless the energy and its gradient are finite at the points.

    Arguments:
        owner: the public name that was given the energy.
        energy: V, a function of one point.
        points: where it will be evaluated, for instance samples of the first density, `[n, dim]`.

    Raises:
        ValueError: naming the first point where the energy or its gradient is not finite.
    """
    places = _entry.rows(owner, "points", points)
    values, slopes = map(np.asarray, _evaluate(energy, places))
    broken = ~(np.isfinite(values) & np.isfinite(slopes).all(axis=1))
    if broken.any():
        first = int(broken.argmax())
        finite = np.isfinite(values[first])
        what = "an energy with a gradient that is not finite" if finite else "an energy that is"
        where = np.array2string(np.asarray(places[first]), precision=4, threshold=12)
        raise ValueError(
            f"`{owner}` got {what}{'' if finite else f' {values[first]}'} at the point {where}, "
            f"and at {broken.sum()} of {len(values)} points in all, expected finite numbers: "
            "replace walls by a steep smooth potential, and guard roots and logarithms."
        )


@eqx.filter_jit
def _evaluate(
    energy: Callable[[State], Scalar], points: Batch
) -> tuple[Float[Array, "n"], Float[Array, "n dim"]]:
    chunk = min(_CHUNK, points.shape[0])
    return jax.lax.map(jax.value_and_grad(energy), points, batch_size=chunk)
