"""Forward processes with any drift: matrix Ornstein-Uhlenbeck processes, and those known by paths.

    `LinearNoising`    dY = A Y ds + G dW       Y_s = e^{sA} y_0 + R(s) eps,
                                                R R^T = int_0^s e^{uA} G G^T e^{uA^T} du
    `Diffusion`        dY = f(s, Y) ds + g(s) dW        Y_s by steps of Heun's method

With A = V diag(l) V^-1 and Q = V^-1 G G^T V^-H the covariance of the first is

    V C V^H,     C_ij = Q_ij (e^{(l_i + conj l_j) s} - 1) / (l_i + conj l_j),

which solves the Lyapunov equation (R R^T)' = A R R^T + R R^T A^T + G G^T. Of the second the law of
a step given the point before it is known, by which scores are matched
(`mfgen.losses._simulated`).

The clock of both. With n^2(s) = int_0^s tr(g g^T) / dim du the noise added so far, N = n(horizon),

    sigma^2 = 1 / (1 / n^2 + c / N^2),     kappa = n exp(c n^2 / (2 N^2)),
    d log kappa / ds = (tr(g g^T) / dim) / (2 sigma^2):

it counts factors of the noise near the data, and time where the law has forgotten them.

Reference: Y. Song et al. (2021), arXiv 2011.13456 (reversal of any diffusion); J. Ho et al. (2020).
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Costate, Scalar, State, Time
from mfgen.dynamics._affine import Constant
from mfgen.dynamics._dynamics import check_constant, plain, positive
from mfgen.dynamics._noising_base import AbstractForward
from mfgen.math._count import count
from mfgen.math._host import in_double
from mfgen.math._linear_map import LinearMap, image, mean_square
from mfgen.math._quadrature import gauss_legendre

_UNIFORM = 8.0  # c: about half of the clock counts factors of noise, half of it time
_NODES, _WEIGHTS = gauss_legendre(12)


class AbstractDiffusion(AbstractForward):
    """A forward process whose clock is the noise that was added.

    To add one, give `free`, `diffusion`, `moved`, `closed`, `whitened`, and the fields `horizon`
    and `first`, the time at which the game stops, which `first_time` gives.
    """

    first: eqx.AbstractVar[float]

    @property
    def start(self) -> float:
        return self.first

    def added(self, s: Time) -> Scalar:
        """n^2(s) = int_0^s tr(g g^T) / dim du."""
        s = jnp.asarray(s, float)
        nodes, weights = jnp.asarray(_NODES, s.dtype), jnp.asarray(_WEIGHTS, s.dtype)
        return s * weights @ jax.vmap(lambda u: mean_square(self.diffusion(s * u)))(nodes)

    def noise(self, s: Time) -> Scalar:
        added, whole = self.added(s), self.added(self.horizon)
        return jnp.sqrt(added / (1 + _UNIFORM * added / whole))

    def ratio(self, s: Time) -> Scalar:
        added, whole = self.added(s), self.added(self.horizon)
        return jnp.sqrt(added) * jnp.exp(0.5 * _UNIFORM * added / whole)


class LinearNoising(AbstractDiffusion):
    """A linear noising dY = A Y ds + G dW, of a drift and a noise that need not be isotropic.

    Arguments:
        matrix: A, `[dim, dim]`, with a basis of eigenvectors.
        sigma: G, a number or a matrix `[dim, noise]` such that G G^T is positive definite.
        horizon: the last noising time.
        smallest_noise: the size of the noise at which the game stops, in units of the data.

    Raises:
        ValueError: for other shapes, or a matrix without a basis of eigenvectors.

    Example:

        swirl = LinearNoising([[-1.0, 2.0], [-2.0, -1.0]], sigma=1.4, horizon=3.0)
        game = score_based(swirl, Empirical(points))
    """

    matrix: tuple = eqx.field(static=True)
    sigma: float | tuple = eqx.field(static=True)
    horizon: float = eqx.field(static=True)
    first: float = eqx.field(static=True)

    def __init__(
        self, matrix: Any, sigma: Any = 1.0, *, horizon: float = 1.0, smallest_noise: float = 0.03
    ):
        square = np.asarray(matrix, float)
        if square.ndim != 2 or square.shape[0] != square.shape[1] or not np.isfinite(square).all():
            raise ValueError(
                f"`LinearNoising` got a matrix of shape {square.shape}, expected [dim, dim] of "
                "finite numbers: pass A of dY = A Y ds + G dW, such as -jnp.diag(rates)."
            )
        check_constant("LinearNoising", "sigma", plain(np.asarray(sigma)), "pass sigma > 0")
        noise = np.asarray(sigma, float)
        spread = noise**2 * np.eye(len(square)) if noise.ndim == 0 else noise @ noise.T
        if spread.shape != square.shape or np.linalg.eigvalsh(spread)[0] <= 0:
            raise ValueError(
                f"`LinearNoising` got sigma of shape {list(noise.shape)} with a matrix of shape "
                f"{list(square.shape)}, expected noise in every direction: pass a number > 0, or "
                "G [dim, noise] with G G^T positive definite."
            )
        if np.linalg.cond(np.linalg.eig(square)[1]) > 1e6:
            raise ValueError(
                "`LinearNoising` got a matrix without a basis of eigenvectors, expected one that "
                "has: change an entry a little, or pass `Diffusion(lambda s, y: A @ y, ...)`."
            )
        self.matrix, self.sigma = plain(square), plain(noise)
        positive("LinearNoising", "horizon", horizon)
        self.horizon = float(horizon)
        self.first = first_time(self, "LinearNoising", smallest_noise)

    def arguments(self) -> dict[str, Any]:
        """The arguments of its constructor, the smallest noise up to nine digits."""
        own = {"matrix": self.matrix, "sigma": self.sigma, "horizon": self.horizon}
        return {**own, "smallest_noise": smallest_noise(self)}

    @property
    def closed(self) -> bool:
        return True

    def free(self, t: Time, x: State) -> State:
        return jnp.asarray(self.matrix, x.dtype) @ x

    def divergence(self, s: Time, x: State) -> Scalar:
        return jnp.asarray(np.trace(np.asarray(self.matrix)), x.dtype)

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray(self.sigma, float)

    def kernel(self, s: Time) -> tuple[Float[Array, "dim dim"], Float[Array, "dim dim"]]:
        """e^{sA}, and R with R R^T the covariance of Y_s given Y_0, lower triangular."""
        s = jnp.asarray(s, float)
        kind = jnp.result_type(complex)
        parts = (jnp.asarray(part, kind) for part in _eigen(self.matrix, self.sigma))
        values, vectors, inverse, spread = parts
        power = jnp.real((vectors * jnp.exp(values * s)[None]) @ inverse)
        # Where two rates cancel the covariance grows like s.
        rates = values[:, None] + jnp.conj(values)[None, :]
        still = jnp.abs(rates) < 1e-9
        grown = jnp.where(still, s, jnp.expm1(rates * s) / jnp.where(still, 1, rates))
        covariance = jnp.real(vectors @ (spread * grown) @ jnp.conj(vectors).T)
        return power, jnp.linalg.cholesky(0.5 * (covariance + covariance.T))

    def moved(self, s: Time, x: State, eps: Float[Array, "..."]) -> State:
        power, root = self.kernel(s)
        return (power @ x + root @ eps).astype(x.dtype)

    def whitened(self, s: Time, p: Costate) -> Costate:
        return (self.kernel(s)[1].T @ p).astype(p.dtype)


class Diffusion(AbstractDiffusion):
    """A forward process dY = f(s, Y) ds + g(s) dW with any drift, known by its simulated paths.

    Arguments:
        drift: f, a function of the noising time and a point.
        sigma: g, a number, a matrix `[dim, dim]`, or a function of time that returns either.
        horizon: the last noising time.
        smallest_noise: the size of the noise at which the game stops, in units of the data.
        steps: of Heun's method, from the data to a noising time.

    Raises:
        ValueError: for other shapes, or too little noise.

    Example:

        well = Diffusion(lambda s, y: y - y**3, sigma=1.0, horizon=4.0)
        game = score_based(well, Empirical(points))
    """

    drift: Callable[[Time, State], State]
    spread: Callable[[Time], LinearMap]
    horizon: float = eqx.field(static=True)
    first: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def __init__(
        self,
        drift: Callable[[Time, State], State],
        sigma: Any = 1.0,
        *,
        horizon: float = 1.0,
        smallest_noise: float = 0.03,
        steps: int = 40,
    ):
        _check.a_function("Diffusion", "drift", drift, "s and y that returns [dim]")
        if not callable(sigma):
            check_constant("Diffusion", "sigma", plain(np.asarray(sigma)), "pass sigma > 0")
        positive("Diffusion", "horizon", horizon)
        self.drift, self.horizon = drift, float(horizon)
        spread: Any = sigma if callable(sigma) else Constant(plain(np.asarray(sigma)))
        self.spread = spread
        self.steps = count("Diffusion", "steps", steps, least=2)
        shape = jax.eval_shape(lambda: jnp.asarray(self.spread(0.0))).shape
        if shape and (len(shape) != 2 or shape[0] != shape[1]):
            raise ValueError(
                f"`Diffusion` got sigma of shape {list(shape)}, expected a number or a square "
                "matrix: as many noises as coordinates."
            )
        self.first = first_time(self, "Diffusion", smallest_noise)

    def arguments(self) -> dict[str, Any]:
        """The arguments of its constructor, the smallest noise up to nine digits."""
        sigma = self.spread.value if isinstance(self.spread, Constant) else self.spread
        own = {"drift": self.drift, "sigma": sigma, "horizon": self.horizon, "steps": self.steps}
        return {**own, "smallest_noise": smallest_noise(self)}

    @property
    def closed(self) -> bool:
        return False

    @property
    def draws(self) -> int:
        return self.steps

    def free(self, t: Time, x: State) -> State:
        return self.drift(t, x)

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray(self.spread(t))

    def moved(self, s: Time, x: State, eps: Float[Array, "..."]) -> State:
        mean, kick = self.last_step(s, x, eps)
        return mean + image(kick, eps[-1]).astype(x.dtype)

    def last_step(
        self, s: Time, x: State, eps: Float[Array, "draws dim"]
    ) -> tuple[State, LinearMap]:
        """The mean of Y_s given the point one step before it, and K with Y_s = mean + K eps."""
        h = jnp.asarray(s, x.dtype) / self.steps

        def step(y: State, row) -> tuple[State, None]:
            index, eps = row
            now = h * index
            kick = jnp.sqrt(h) * image(self.diffusion(now + 0.5 * h), eps)
            first = self.drift(now, y)
            second = self.drift(now + h, y + h * first + kick)
            return (y + 0.5 * h * (first + second) + kick).astype(y.dtype), None

        y, _ = jax.lax.scan(step, x, (jnp.arange(self.steps - 1), eps[:-1]))
        before = h * (self.steps - 1)
        mean = (y + h * self.drift(before, y)).astype(x.dtype)
        return mean, jnp.sqrt(h) * self.diffusion(before + 0.5 * h)

    def whitened(self, s: Time, p: Costate) -> Costate:
        raise TypeError(
            "`Diffusion` has no transition law in closed form, expected a noising that does: train "
            "by `SimulatedScoreMatching()`, or declare a linear drift by `LinearNoising(A, G)`."
        )


def first_time(process: AbstractDiffusion, owner: str, smallest: float) -> float:
    """The time at which the noise that was added has a size.

    Raises:
        ValueError: in the name of `owner`, if it is not reached.
    """
    positive(owner, "smallest_noise", smallest)

    def found() -> tuple[float, float]:
        added, (low, high) = jax.jit(lambda s: process.added(s)), (0.0, process.horizon)
        whole = float(added(high)) ** 0.5
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if added(middle) >= smallest**2 else (middle, high)
        return whole, high

    whole, first = in_double(found)
    if not whole > smallest:
        raise ValueError(
            f"`{owner}` got noise that adds up to {whole:.4g} at s = {process.horizon:g}, expected "
            f"more than smallest_noise = {smallest:g}: raise sigma or horizon."
        )
    return first


def smallest_noise(process: AbstractDiffusion) -> float:
    """The size of the noise that was added up to the first time, up to nine digits."""
    return round(in_double(lambda: float(process.added(process.start)) ** 0.5), 9)


@functools.lru_cache(maxsize=16)
def _eigen(matrix: tuple, sigma: float | tuple) -> tuple[np.ndarray, ...]:
    """Eigenvalues, eigenvectors and their inverse of A, and G G^T in their basis."""
    square, noise = np.asarray(matrix, float), np.asarray(sigma, float)
    spread = noise**2 * np.eye(len(square)) if noise.ndim == 0 else noise @ noise.T
    values, vectors = np.linalg.eig(square)
    inverse = np.linalg.inv(vectors)
    return values, vectors, inverse, inverse @ spread @ inverse.conj().T
