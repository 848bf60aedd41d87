"""Control-affine dynamics of any drift, gain and diffusion, and second-order dynamics.

    `ControlAffine`    dX = [ a(t, X) + g(t) v ] dt + sigma(t) dW
    `Underdamped`      dX = V dt,      dV = ( -gamma V + v ) dt + sigma dW

In the second the state is (X, V), the control is a force, and noise acts on velocities alone; with
no noise and L = |v|^2/2 it is the game of least acceleration. Its diffusion is singular, so that
the HJB equation is parabolic along velocities only,

    -dt U - x'.grad_x U + gamma v.grad_v U + |grad_v U|^2 / 2 - (sigma^2/2) lap_v U = dI/drho.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2; T. Dockhorn, A.
Vahdat, K. Kreis, "Score-based generative modeling with critically-damped Langevin diffusion"
(2022), arXiv 2112.07068.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen import _check
from mfgen._types import State, Time
from mfgen.dynamics._dynamics import AbstractDynamics, check_constant, plain, positive
from mfgen.math._linear_map import LinearMap

_Map = float | tuple | np.ndarray | jax.Array | Callable[[Time], LinearMap]


class Constant(eqx.Module):
    """The function of time that is always one number or matrix, known to the compiler."""

    value: float | tuple = eqx.field(static=True, converter=plain)

    def __call__(self, t: Time) -> LinearMap:
        return jnp.asarray(self.value, float)


class ControlAffine(AbstractDynamics):
    """Dynamics by their parts: dX = [a(t, X) + g(t) v] dt + sigma(t) dW.

    Arguments:
        drift: a, a function of t and x, or a matrix A for A x; `None` for no drift.
        gain: g, a number, a matrix `[dim, control]`, or a function of t that returns either.
        sigma: the diffusion, likewise, `[dim, noise]`; zero for a flow without noise.
        horizon: the final time T > 0.

    Raises:
        ValueError: names the part, its shape and what was expected.

    Example:

        turn = lambda t, x: jnp.array([-x[1], x[0]])
        swirl = ControlAffine(turn, sigma=jnp.array([[0.5], [0.1]]))
    """

    drift: Callable[[Time, State], State] | jax.Array | None
    steering: Callable[[Time], LinearMap]
    noise: Callable[[Time], LinearMap]
    horizon: float = eqx.field(static=True, converter=plain)

    def __init__(
        self,
        drift: Callable[[Time, State], State] | Any | None = None,
        gain: _Map = 1.0,
        sigma: _Map = 0.0,
        horizon: float = 1.0,
    ):
        made: Any = drift
        if not (drift is None or callable(drift)):
            made = jnp.asarray(drift, float)
            if made.ndim != 2 or made.shape[0] != made.shape[1]:
                raise ValueError(
                    f"`ControlAffine` got a drift of shape {made.shape}, expected a square matrix "
                    "or a function of t and x: pass A [dim, dim], or lambda t, x: A @ x."
                )
        self.drift, self.horizon = made, horizon
        self.steering = _of_time("gain", gain)
        self.noise = _of_time("sigma", sigma)
        positive("ControlAffine", "horizon", self.horizon)

    def arguments(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        parts = {"gain": self.steering, "sigma": self.noise}
        known = {n: p.value if isinstance(p, Constant) else p for n, p in parts.items()}
        return {"drift": self.drift, "horizon": self.horizon, **known}

    @property
    def deterministic(self) -> bool:
        return isinstance(self.noise, Constant) and not np.any(self.noise.value)

    def free(self, t: Time, x: State) -> State:
        if self.drift is None:
            return jnp.zeros_like(x)
        return self.drift(t, x) if callable(self.drift) else self.drift.astype(x.dtype) @ x

    def gain(self, t: Time) -> LinearMap:
        return jnp.asarray(self.steering(t))

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray(self.noise(t))


class Underdamped(AbstractDynamics):
    """Second-order dynamics: dX = V dt, dV = (-friction V + v) dt + sigma dW.

    A state is positions and then velocities, `[2 d]`; the control is a force, `[d]`. The initial
    density and the terminal cost are of both: `Product([positions, Gaussian(jnp.zeros(d))])`.

    Arguments:
        sigma: of the noise on velocities; zero for none.
        friction: gamma >= 0, how fast velocities decay by themselves.
        horizon: the final time T > 0.
    """

    sigma: float = eqx.field(static=True, default=0.0, converter=plain)
    friction: float = eqx.field(static=True, default=0.0, converter=plain)
    horizon: float = eqx.field(static=True, default=1.0, converter=plain)

    def __check_init__(self):
        positive("Underdamped", "horizon", self.horizon)
        for name in ("sigma", "friction"):
            value = getattr(self, name)
            _check.a_number("Underdamped", name, value, f"pass one number {name} >= 0")
            check_constant("Underdamped", name, value, f"pass {name}=0.0 for none")

    @property
    def deterministic(self) -> bool:
        return self.sigma == 0.0

    @property
    def blocks(self) -> int:
        return 2

    def free(self, t: Time, x: State) -> State:
        _, velocity = jnp.split(x, 2)
        return jnp.concatenate([velocity, -self.friction * velocity])

    def gain(self, t: Time) -> LinearMap:
        return jnp.asarray([[0.0], [1.0]])

    def diffusion(self, t: Time) -> LinearMap:
        return jnp.asarray([[0.0], [self.sigma]])


def _of_time(name: str, given: _Map) -> Callable[[Time], LinearMap]:
    if callable(given):
        return given
    check_constant("ControlAffine", name, plain(given), f"pass {name} >= 0, or a matrix")
    return Constant(given)
