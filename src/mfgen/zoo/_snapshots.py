"""An interpolating game between snapshots: where a population was when nobody looked.

Between consecutive snapshots rho_0 and rho_1, a time T apart, individuals play

    dX = [b(Z) + v] dt + sigma dW,   dZ = b(Z) dt,  Z(0) = X(0),      b = -grad Psi
    L = |v|^2 / (2 sigma^2),         rho(0) = rho_0,   rho(T) = rho_1  (both hard)

a Schrödinger bridge with respect to the drift that an individual meets on its free way Z, which is
part of the state. Psi is the same at all times, so the intervals inform each other through it;
without it this is the plain bridge. From x the reference goes to N(z_T, sigma^2 T I), z the free
way from x, so by Girsanov the game is solved by the entropic coupling

    min over couplings P of  E_P |y - z_T(x)|^2 / 2 + sigma^2 T KL(P | rho_0 x rho_1)

and, between the ends of a pair, by the Brownian bridge around the free way:

    rho(t) = sum_(x, y) P(x, y) N( z_t(x) + s (y - z_T(x)),  sigma^2 T s (1 - s) I ),   s = t / T

an exact Gaussian mixture in any dimension, which needs no grid and no network. As sigma goes to 0
and with b = 0 it is the displacement interpolation of optimal transport.

References:
    C. Léonard, "A survey of the Schrödinger problem and some of its connections with optimal
    transport" (2014), arXiv 1308.0215.
    Y. Shen, R. Berlinghieri, T. Broderick (2024), arXiv 2408.06277 (a common reference drift).
    M. Cuturi, "Sinkhorn distances" (2013), arXiv 1306.0895.
"""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Given, Key
from mfgen.data._snapshots import check_snapshots
from mfgen.densities._gaussian import GaussianMixture
from mfgen.dynamics._dynamics import positive
from mfgen.losses._coupling import EntropicTransport
from mfgen.math._sinkhorn import Scaled
from mfgen.simulate._integrator import RungeKutta4
from mfgen.zoo._landscape import Landscape

_FREE = RungeKutta4(16)


class SnapshotBridge(eqx.Module):
    """The law of a population at all times between its snapshots.

    Attributes:
        snapshots: `[times, n, dim]`.
        times: `[times]`.
        plans: for each interval the probabilities of the ends y given the start x,
            `[times - 1, n, n]`; rows sum to one.
        sigma: of the noise, in units of the data per root of time.
        landscape: Psi, or None for b = 0.
    """

    snapshots: Float[Array, "times n dim"]
    times: tuple[float, ...] = eqx.field(static=True)
    plans: Float[Array, "intervals n n"]
    sigma: float = eqx.field(static=True)
    landscape: Landscape | None

    def law(self, t: float) -> GaussianMixture:
        """The law at time t, a mixture of n^2 normal laws.

        Raises:
            ValueError: for a time outside of the snapshots, or of one of them, where the law is
                that of its points.
        """
        k, share, start, middle, end = self._ways("law", t)
        if share in (0.0, 1.0):
            raise ValueError(
                f"`SnapshotBridge.law` got t = {t}, the time of a snapshot, expected one between: "
                "use `Empirical(snapshot)` there."
            )
        weights = self.plans[k] / start.shape[0]
        means = middle[:, None] + share * (self.snapshots[k + 1][None] - end[:, None])
        variance = self._spread(k, share) ** 2
        count = weights.size
        return GaussianMixture(
            weights.reshape(count) / jnp.sum(weights),
            means.reshape(count, -1),
            jnp.full(count, variance),
        )

    def points(self, t: float, *, key: Key) -> Batch:
        """Where the individuals of the snapshot before t are at t, `[n, dim]`: one draw for each.

        Every start counts once, so they vary less than n independent points of `law`.

        Raises:
            ValueError: for a time outside of the snapshots.
        """
        k, share, _, middle, end = self._ways("points", t)
        pair_key, noise_key = jax.random.split(key)
        goal = self.snapshots[k + 1][jax.random.categorical(pair_key, jnp.log(self.plans[k]))]
        noise = jax.random.normal(noise_key, middle.shape, middle.dtype)
        return middle + share * (goal - end) + self._spread(k, share) * noise

    def _ways(self, name: str, t: float) -> tuple[int, float, Batch, Batch, Batch]:
        """The interval of t, the share of it gone by, and free ways: start, at t, at its end."""
        if not self.times[0] <= t <= self.times[-1]:
            raise ValueError(
                f"`SnapshotBridge.{name}` got t = {t}, expected one from {self.times[0]} to "
                f"{self.times[-1]}: the game says nothing before and after its snapshots."
            )
        k = min(int(np.searchsorted(self.times, t, side="right")) - 1, len(self.times) - 2)
        span = self.times[k + 1] - self.times[k]
        start = self.snapshots[k]
        middle, end = (
            _carried(self.landscape, start, jnp.asarray(gone, start.dtype))
            for gone in (t - self.times[k], span)
        )
        return k, (t - self.times[k]) / span, start, middle, end

    def _spread(self, k: int, share: float) -> float:
        span = self.times[k + 1] - self.times[k]
        return self.sigma * float(np.sqrt(span * share * (1 - share)))


def snapshot_bridge(
    snapshots: Given,
    times: Sequence[float],
    *,
    sigma: float,
    landscape: Landscape | None = None,
    tolerance: float = 1e-3,
    iterations: int = 20_000,
) -> SnapshotBridge:
    """Solves the interpolating game between snapshots.

    Arguments:
        snapshots: `[times, n, dim]`, of other individuals each.
        times: `[times]`, increasing.
        sigma: of the noise, in units of the data per root of time; the smaller, the more
            iterations the coupling takes.
        landscape: Psi of the drift b = -grad Psi, see `mfgen.zoo._landscape`; None for b = 0.
        tolerance: of the mass that a coupling misses, in the 1-norm.
        iterations: of Sinkhorn, at most.

    Raises:
        ValueError: for snapshots or times out of shape (see `check_snapshots`), a landscape of
            another dimension, settings out of range, or a coupling that misses more mass than
            the tolerance after all iterations.
    """
    samples, moments = check_snapshots("snapshot_bridge", snapshots, times)
    positive("snapshot_bridge", "sigma", sigma)
    if landscape is not None and landscape.slope.size != samples.shape[2]:
        raise ValueError(
            f"`snapshot_bridge` got a landscape of dimension {landscape.slope.size} for snapshots "
            f"of dimension {samples.shape[2]}, expected the same: fit it to these snapshots."
        )
    points = jnp.asarray(samples, jnp.result_type(float))
    plans = []
    for (x, y), span in zip(itertools.pairwise(points), np.diff(moments), strict=True):
        end = _carried(landscape, x, jnp.asarray(span, x.dtype))
        coupling = EntropicTransport(float(sigma**2 * span), tolerance, iterations)
        plan, _ = _coupled(coupling, end, y)
        missed = float(
            jnp.sum(jnp.abs(jnp.sum(plan, axis=1) - 1 / len(x)))
            + jnp.sum(jnp.abs(jnp.sum(plan, axis=0) - 1 / len(y)))
        )
        if not missed <= 4 * tolerance:
            raise ValueError(
                f"`snapshot_bridge` got a coupling that misses {missed:.2g} of the mass after "
                f"{iterations} iterations, expected at most {4 * tolerance:.2g}: pass a larger "
                "sigma or more iterations."
            )
        plans.append(plan / jnp.sum(plan, axis=1, keepdims=True))
    return SnapshotBridge(points, tuple(moments.tolist()), jnp.stack(plans), sigma, landscape)


@eqx.filter_jit
def _coupled(coupling: EntropicTransport, x: Batch, y: Batch) -> tuple[Float[Array, "n n"], Scaled]:
    return coupling.iterated(x, y)


@eqx.filter_jit
def _carried(landscape: Landscape | None, points: Batch, span: Array) -> Batch:
    """The points after a time on their free ways."""
    if landscape is None:
        return points
    slope = lambda tau, x: landscape.drift(x)
    return jax.vmap(lambda x: _FREE(slope, x, span).value)(points)
