"""A potential that a population goes down, read off snapshots: the gradient flow behind them.

    dx = -grad Psi(x) dt,    Psi the same at all times

is the Wasserstein gradient flow of F(rho) = int Psi d rho. Snapshots show no velocities. Optimal
transport between consecutive ones proposes some: the pair (x, y) moves along x + s (y - x) with
v = (y - x) / T. Psi is fitted to these of all intervals together,

    min over m, f of  E |v + grad Psi(x + s (y - x))|^2 + ridge |f|^2,    Psi(x) = -m.x + f(x),

where |f| is the norm of a Gaussian kernel h^2 exp(-|x - c|^2 / 2 h^2): kernel ridge regression of
a gradient. The velocities are not one of a gradient at one time: what individuals do there at
different times is averaged, and so one interval learns from the others. Bandwidth h and ridge are
chosen by cross-validation over individuals.

References:
    Y. Shen, R. Berlinghieri, T. Broderick, "Multi-marginal Schrödinger bridges with iterative
    reference refinement" (2024), arXiv 2408.06277 (one drift for all times, from the bridges).
    C. Bunne, L. Meng-Papaxanthos, A. Krause, M. Cuturi, "Proximal optimal transport modeling of
    population dynamics" (2022), arXiv 2106.06345 (a gradient flow from snapshots).
"""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mfgen._types import Given, Scalar, State
from mfgen.data._snapshots import check_snapshots
from mfgen.dynamics._dynamics import positive
from mfgen.math._count import count

_NEGLIGIBLE = 1e-10  # of the largest eigenvalue of a kernel matrix


class Landscape(eqx.Module):
    """Psi(x) = -m.x - h sum_k a_k exp(-|x - c_k|^2 / 2 h^2).

    Attributes:
        slope: m, the velocity far from all centres, `[dim]`.
        centres, weights: c `[k, dim]` and a `[k]`.
        bandwidth: h, in the units of x.
        ridge: that it was fitted with.
        error: mean squared velocity that Psi leaves, of individuals it was not fitted to.
    """

    slope: Float[Array, "dim"]
    centres: Float[Array, "k dim"]
    weights: Float[Array, "k"]
    bandwidth: float = eqx.field(static=True)
    ridge: float = eqx.field(static=True)
    error: float = eqx.field(static=True)

    def __call__(self, x: State) -> Scalar:
        """Return Psi at one point `[dim]`."""
        return -self.slope @ x - self.bandwidth * self.weights @ self._kernel(x)

    def drift(self, x: State) -> State:
        """Return -grad Psi at one point `[dim]`."""
        pull = (self.centres - x[None]) / self.bandwidth
        return self.slope + (self.weights * self._kernel(x)) @ pull

    def _kernel(self, x: State) -> Float[Array, "k"]:
        return jnp.exp(-0.5 * jnp.sum(((self.centres - x[None]) / self.bandwidth) ** 2, axis=1))


def landscape(
    snapshots: Given,
    times: Sequence[float],
    *,
    bandwidths: Sequence[float] = (1.0, 2.0, 4.0),
    ridges: Sequence[float] = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2),
    centres: int = 300,
    pieces: int = 8,
    folds: int = 5,
    seed: int = 0,
) -> Landscape:
    """Fits the potential of a population to its snapshots.

    Arguments:
        snapshots: `[times, n, dim]`, of other individuals each.
        times: `[times]`, increasing.
        bandwidths: h to choose from, in the units of the data.
        ridges: to choose from.
        centres: how many points of the snapshots carry a kernel, evenly chosen, at most.
        pieces: places on the way of a pair.
        folds: of the cross-validation.
        seed: of the folds.

    Raises:
        ValueError: for snapshots or times out of shape (see `check_snapshots`), and for settings
            out of range.
    """
    samples, moments = check_snapshots("landscape", snapshots, times)
    for name, values in (("bandwidth", bandwidths), ("ridge", ridges)):
        _candidates(name, values)
    for name, size in (("centres", centres), ("pieces", pieces), ("folds - 1", folds - 1)):
        count("landscape", name, size)
    points, velocities = _motion(samples, moments, pieces)
    kept = samples.reshape(-1, samples.shape[2])
    kept = kept[:: -(-len(kept) // centres)]
    fold = np.random.default_rng(seed).permutation(len(points)) % folds
    found = [
        candidate
        for bandwidth in bandwidths
        for candidate in _fits(points, velocities, kept, bandwidth, ridges, fold)
    ]
    return min(found, key=lambda candidate: candidate.error)


def _motion(
    samples: np.ndarray, times: np.ndarray, pieces: int
) -> tuple[Float[np.ndarray, "pairs pieces dim"], Float[np.ndarray, "pairs pieces dim"]]:
    """Places of optimal pairs on their ways, and their velocities there."""
    share = ((np.arange(pieces) + 0.5) / pieces)[:, None]
    points, velocities = [], []
    for (x, y), span in zip(itertools.pairwise(samples), np.diff(times), strict=True):
        y = y[linear_sum_assignment(cdist(x, y, "sqeuclidean"))[1]]
        points.append(x[:, None] + share * (y - x)[:, None])
        velocities.append(np.broadcast_to(((y - x) / span)[:, None], points[-1].shape))
    return np.concatenate(points), np.concatenate(velocities)


def _fits(
    points: np.ndarray,
    velocities: np.ndarray,
    centres: np.ndarray,
    bandwidth: float,
    ridges: Sequence[float],
    fold: np.ndarray,
) -> list[Landscape]:
    """The fits of one bandwidth, each with its error on the folds."""
    pairs, pieces, dim = points.shape
    design, basis = _design(points.reshape(-1, dim), centres, bandwidth)
    design = design.reshape(pairs, pieces * dim, -1)
    goal = velocities.reshape(pairs, pieces * dim)
    parts = []
    for k in range(fold.max() + 1):
        rows, moved = design[fold == k].reshape(-1, design.shape[2]), goal[fold == k].ravel()
        parts.append((rows, moved, rows.T @ rows, rows.T @ moved))
    gram = np.sum([part for _, _, part, _ in parts], axis=0)
    right = np.sum([part for _, _, _, part in parts], axis=0)
    penalised = np.diag(np.r_[np.ones(basis.shape[1]), np.zeros(dim)])
    found = []
    for ridge in ridges:
        missed = 0.0
        for rows, moved, own, product in parts:
            penalty = ridge * (goal.size - len(moved)) / dim * penalised
            others = np.linalg.solve(gram - own + penalty, right - product)
            missed += float(np.sum((moved - rows @ others) ** 2))
        whole = np.linalg.solve(gram + ridge * pairs * pieces * penalised, right)
        slope, weights = whole[-dim:], basis @ whole[:-dim]
        arrays = _floats(slope), _floats(centres), _floats(weights)
        found.append(Landscape(*arrays, bandwidth, ridge, missed / (pairs * pieces)))
    return found


def _design(
    points: np.ndarray, centres: np.ndarray, bandwidth: float
) -> tuple[Float[np.ndarray, "points dim columns"], Float[np.ndarray, "k rank"]]:
    """-grad Psi of each coefficient at the points, and the basis of the weights.

    In this basis the norm of the kernel is that of the coefficients; the last `dim` are the slope.
    """
    kernel = lambda x: np.exp(-0.5 * cdist(x, centres, "sqeuclidean") / bandwidth**2)
    values, vectors = np.linalg.eigh(kernel(centres))
    large = values > _NEGLIGIBLE * values[-1]
    basis = vectors[:, large] / np.sqrt(values[large])
    near, ones = kernel(points), np.ones((len(points), 1))
    columns = []
    for axis, on in enumerate(np.eye(points.shape[1])):
        pull = (centres[:, axis] - points[:, axis, None]) / bandwidth
        columns.append(np.hstack([(near * pull) @ basis, ones * on]))
    return np.stack(columns, axis=1), basis


def _floats(array: np.ndarray) -> Array:
    return jnp.asarray(array, jnp.result_type(float))


def _candidates(name: str, values: Sequence[float]) -> None:
    if not values:
        raise ValueError(
            f"`landscape` got no {name} to choose from, expected one or more: pass {name}s=(1.0,)."
        )
    for value in values:
        positive("landscape", name, value)
