"""The data of an experiment: split, scaled to unit variance, with the exact truth where known.

Toy data are drawn afresh for every seed from a density that is carried along in the same units,

    z = (x - mean) / scale,   one scale for all coordinates,

so that its noised laws, and with them exact divergences, stay known. Real data are split by a fixed
seed, whatever the seed of the experiment, and scaled by the training part alone. Log-densities in
original units are those of z plus `scaling.log_jacobian`.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Key
from mfgen.data import _embedded, _idx, _table
from mfgen.data._dataset import Dataset
from mfgen.data._scaling import Standardise, Whiten
from mfgen.densities import _toy
from mfgen.densities._affine import Affine
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, AbstractNoisable
from mfgen.densities._empirical import Empirical
from mfgen.densities._gaussian import isotropic, mixture20
from mfgen.densities._laplace import laplace
from mfgen.densities._product import product_of_toys
from mfgen.densities._well import double_well, many_wells
from mfgen.densities._whitened import Whitened
from mfgen.math import _memory
from mfgen.zoo._catalogue import ENERGIES
from mfgen.zoo._named_data import Data
from mfgen.zoo._posterior import breast_cancer_posterior

Points = Float[np.ndarray, "_ dim"]

_TRAINING_POINTS = 50_000  # of a toy, if the specification does not say
_PRIOR = 0.5  # deviation of the coefficients before the data
_REFERENCE_POINTS = 4096  # of the reference, in the place of samples of an energy


class Samples(NamedTuple):
    """Data in standard units.

    Attributes:
        train, validation, test: samples `[n, dim]`; of a toy the last of those that are drawn are
            for validation if some are held out, and there is no test part.
        scaling: the map from original to standard units.
        columns: names of the coordinates.
        target: the law that the game is declared with.
        truth: the exact law where it is known, else `None`.
        noisable: the truth again if its noised laws are known too, else `None`.
        energy: a law that can be evaluated up to a constant: the truth, or that of an energy.
        is_energy: whether the data are an energy. There are no samples of it then; those called
            `train` are of N(0, I), which is near in these units, and `target` is N(0, I) itself.
    """

    train: Points
    validation: Points
    test: Points
    scaling: Standardise | Whiten
    columns: tuple[str, ...]
    target: AbstractDensity
    truth: AbstractEvaluable | None = None
    noisable: AbstractNoisable | None = None
    energy: AbstractEvaluable | None = None
    is_energy: bool = False

    @property
    def digest(self) -> str:
        """A digest of the training data."""
        return hashlib.sha256(np.ascontiguousarray(self.train).tobytes()).hexdigest()

    def original(self, z: Float[Array | np.ndarray, "n dim"]) -> Points:
        """Points in original units, shape `[n, dim]`."""
        return np.asarray(self.scaling.invert(np.asarray(z)))


def prepare(data: Data, density: AbstractEvaluable | None = None, *, key: Key) -> Samples:
    """The named data; `key` draws the samples of toys, and of a density of one's own.

    Raises:
        ValueError, OSError: for files and arrays that are no data; one line.
    """
    if density is not None:
        return _known(density, data, key)
    if data.name in _TOYS:
        return _known(_TOYS[data.name](data), data, key)
    if data.name in ENERGIES:
        return _energetic(data, key)
    return _measured(_REAL[data.name](data), data)


def _known(truth: AbstractEvaluable, data: Data, key: Key) -> Samples:
    mean, covariance = (np.asarray(moment) for moment in truth.moments())
    scale = float(np.sqrt(np.trace(covariance) / truth.dim))
    scaled = Affine(truth, -mean / scale, 1 / scale)
    count = data.samples or _TRAINING_POINTS
    _memory.refuse_numbers("data", 3 * count * truth.dim, samples=count)
    drawn = np.asarray(scaled.sample(count, key=key))
    kept = len(drawn) - round((data.validation or 0.0) * len(drawn))
    if kept < 2:
        raise ValueError(
            f"`data` got validation = {data.validation}, which leaves {kept} of {len(drawn)} "
            "samples to train on, expected at least 2: hold out less, or draw more `samples`."
        )
    train = drawn[:kept]
    noisable = scaled if isinstance(truth, AbstractNoisable) else None
    return Samples(
        train,
        drawn[kept:],
        drawn[:0],
        Standardise(mean, np.full(truth.dim, scale)),
        tuple(f"x{index}" for index in range(truth.dim)),
        noisable or Empirical(train),
        scaled,
        noisable,
        scaled,
    )


def _energetic(data: Data, key: Key) -> Samples:
    """An energy, in units where its Laplace approximation is N(0, I); one's own as it is."""
    make = _ENERGIES.get(data.name)
    if make is None:
        assert data.dim is not None
        dim, whitened = data.dim, None
        scaling = Standardise(np.zeros(dim), np.ones(dim))
    else:
        energy = make()
        near = laplace(energy)
        dim, factor = energy.dim, jnp.linalg.cholesky(near.moments()[1])
        whitened = Whitened(energy, near.mean, factor)
        scaling = Whiten(np.asarray(near.mean), np.asarray(factor))
    reference = isotropic(jnp.zeros(dim), 1.0)
    _memory.refuse_numbers("data", 3 * (data.samples or 0) * dim, samples=data.samples or 0)
    return Samples(
        np.asarray(reference.sample(data.samples or _REFERENCE_POINTS, key=key)),
        np.zeros((0, dim), np.float32),
        np.zeros((0, dim), np.float32),
        scaling,
        tuple(f"x{index}" for index in range(dim)),
        reference,
        energy=whitened,
        is_energy=True,
    )


def _measured(found: Dataset, data: Data) -> Samples:
    train = found.train[: data.samples]
    held_out = found.validation, found.test
    return Samples(train, *held_out, found.scaling, found.columns, Empirical(train))


def _from_file(data: Data) -> Dataset:
    share = lambda fraction: 0.1 if fraction is None else fraction
    fractions = (share(data.validation), share(data.test))
    return _table.table(
        str(data.path),
        columns=data.columns,
        array=data.array,
        sha256=data.sha256,
        fractions=fractions,
        seed=data.split or 0,
    )


def _by_toy(make: Callable[[], AbstractEvaluable]) -> Callable[[Data], AbstractEvaluable]:
    return lambda data: make()


def _real(make: Callable[..., Dataset]) -> Callable[[Data], Dataset]:
    return lambda data: make(seed=data.split or 0)


_TOYS: dict[str, Callable[[Data], AbstractEvaluable]] = {
    "gaussians8": _by_toy(_toy.eight_gaussians),
    "mixture20": lambda data: mixture20(data.variant or 0, data.dim or 2),
    "checkerboard": _by_toy(_toy.checkerboard),
    "moons": _by_toy(_toy.moons),
    "rings": _by_toy(_toy.rings),
    "pinwheel": _by_toy(_toy.pinwheel),
    "swissroll": _by_toy(_toy.swissroll),
    "spiral": _by_toy(_toy.spiral),
    "product": lambda data: product_of_toys(data.dim or 8),
    "double-well": lambda data: double_well(data.dim or 2),
    "many-wells": lambda data: many_wells(data.dim or 4),
}

_ENERGIES: dict[str, Callable[[], AbstractEvaluable]] = {
    "breast-cancer-posterior": lambda: breast_cancer_posterior(_PRIOR),
}

_REAL: dict[str, Callable[[Data], Dataset]] = {
    "digits": _real(_embedded.digits),
    "iris": _real(_embedded.iris),
    "wine": _real(_embedded.wine),
    "diabetes": _real(_embedded.diabetes),
    "breast-cancer": _real(_embedded.breast_cancer),
    "mnist": lambda data: _idx.mnist(str(data.path)),
    "table": _from_file,
}
