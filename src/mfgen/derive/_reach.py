"""Which directions of the state do noise and control reach, by themselves or through the drift?

With A = da/dx at a place, a matrix B (sigma, or the gain) reaches the columns of

    [ B, A B, A^2 B, ..., A^(dim - 1) B ]

of which rank dim is R. E. Kalman's condition: the pair is controllable. For sigma it is L.
Hormander's at that place: where sigma is singular and the rank is full, the equations are
hypoelliptic, and their solutions are as smooth as of a parabolic one. Where it is not, the HJB
equation is of first order along the directions that are left. A cost that depends on a direction
which the control does not reach can ask for nothing there.

References: M. Bardi, I. Capuzzo-Dolcetta, "Optimal control and viscosity solutions of
Hamilton-Jacobi-Bellman equations" (1997); E. D. Sontag, "Mathematical control theory" (1998),
section 3.2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.densities._empirical import Empirical
from mfgen.derive._probe import Probe, normal_like
from mfgen.derive._verdict import Item, reason, verdict
from mfgen.games._game import MFG
from mfgen.math._linear_map import LinearMap, matrix

NOISE, REACH = "the noise is as declared", "the control reaches what the cost asks for"
_BOOK, _CONTROL = "Bardi & Capuzzo-Dolcetta 1997", "Sontag 1998"
_TIMES = 25
_SAME = 1e-9  # of the largest singular value
_PLACES = 8


def noise(game: MFG, probe: Probe) -> Item:
    """sigma against what the dynamics declares, and the directions that it reaches."""
    dim = probe.x.shape[1] - game.dynamics.fixed
    sizes = _sizes(game.dynamics.diffusion, game, dim)
    declared, largest = game.dynamics.deterministic, sizes.max(axis=1)
    if not np.isfinite(sizes).all() or (sizes < 0).any():
        evidence = f"sigma is {sizes[~(sizes >= 0)][0]:.3g} at some of {_TIMES} times"
        repair = "return a finite number of at least zero from `diffusion`, or a matrix"
        return verdict(NOISE, False, evidence, _BOOK, repair)
    if declared and sizes.max() > 0:
        evidence = f"`deterministic` is true, but sigma reaches {sizes.max():.3g}"
        return verdict(NOISE, False, evidence, _BOOK, "let `deterministic` return False")
    if not declared and largest.min() == 0:
        evidence = (
            f"sigma is zero at {(largest == 0).sum()} of {_TIMES} times: the equation degenerates"
        )
        repair = (
            "keep sigma positive, or stop the game before it vanishes; if it is zero at all times, "
            "let `deterministic` return True"
        )
        return verdict(NOISE, False, evidence, _BOOK, repair)
    kinks = "U has kinks where characteristics cross (viscosity solutions)"
    if declared:
        evidence = f"sigma = 0: the HJB equation is of first order, and {kinks}"
        return verdict(NOISE, True, evidence, _BOOK)
    direct = int((sizes > _SAME * largest[:, None]).sum(axis=1).min())
    if direct == dim:
        evidence = (
            f"sigma lies in [{sizes.min():.3g}, {sizes.max():.3g}]: the equations are parabolic"
        )
        return verdict(NOISE, True, evidence, _BOOK)
    reached = dim - _missed(game, probe, game.dynamics.diffusion).shape[1]
    evidence = f"sigma moves {direct} of {dim} directions"
    if reached == dim:
        evidence += " and the drift takes it to the others: the equations are hypoelliptic"
    else:
        evidence += f", with the drift {reached}: along the others {kinks}"
    return verdict(NOISE, True, evidence, _BOOK)


def reach(game: MFG, probe: Probe) -> Item:
    """Whether there are directions that no control reaches and that the end depends on."""
    try:
        missed = _missed(game, probe, game.dynamics.gain)
    except Exception as error:  # the drift is the user's
        return verdict(REACH, None, f"the drift could not be computed: {reason(error)}", _CONTROL)
    dim = probe.x.shape[1] - game.dynamics.fixed
    if not missed.shape[1]:
        evidence = f"gain and drift together reach all {dim} directions"
        return verdict(REACH, True, evidence, _CONTROL)
    law = normal_like(Empirical(probe.x))
    said = f"gain and drift reach {dim - missed.shape[1]} of {dim} directions"
    try:
        slopes = jax.vmap(jax.grad(lambda x: game.terminal.variation(law, x)))(probe.x)
    except Exception:  # such as of an end that is prescribed, which asks for everything
        slopes = jnp.ones_like(probe.x)
    slopes = np.nan_to_num(np.asarray(slopes))[:, :dim]
    asked = np.abs(slopes @ missed).max(axis=0)
    if asked.max() <= 1e-6 * np.abs(slopes).max():
        return verdict(REACH, True, f"{said}, and the end depends on no other", _CONTROL)
    worst = missed[:, int(np.argmax(asked))]
    names = ", ".join(f"x{i + 1}" for i in np.flatnonzero(np.abs(worst) > 0.3))
    evidence = f"{said}, and the end depends on another: along {names} no control moves a particle"
    repair = "give the gain a row for it, or a drift that carries it, or take it out of the cost"
    return verdict(REACH, False, evidence, _CONTROL, repair)


def _sizes(of_time: Callable, game: MFG, dim: int) -> np.ndarray:
    """The number for each direction, or singular values of the matrix, `[times, dim]`."""
    times = game.dynamics.horizon * jnp.linspace(0.01, 0.99, _TIMES)
    found = jax.vmap(of_time)(times)
    if found.ndim == 1:
        return np.repeat(np.asarray(found)[:, None], dim, axis=1)
    whole = np.stack([np.asarray(matrix(one, dim + game.dynamics.fixed))[:dim] for one in found])
    if not np.isfinite(whole).all():
        return np.full((_TIMES, dim), np.nan)
    square = whole @ whole.swapaxes(1, 2)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(square), 0.0))


def _missed(game: MFG, probe: Probe, of_time: Callable[..., LinearMap]) -> np.ndarray:
    """An orthonormal basis of the directions that are reached at none of some places."""
    width, dim = probe.x.shape[1], probe.x.shape[1] - game.dynamics.fixed
    slopes = jax.jit(jax.vmap(jax.jacfwd(game.dynamics.free, argnums=1)))
    count = min(_PLACES, probe.number)
    jacobians = np.asarray(slopes(probe.t[:count], probe.x[:count]))[:, :dim, :dim]
    rows = []
    for t, a in zip(probe.t[:count], jacobians, strict=True):
        part = np.asarray(matrix(jnp.asarray(of_time(t)), width))[:dim]
        for _ in range(dim):
            size = np.abs(part).max()
            if size == 0:
                break
            part = part / size
            rows.append(part)
            part = a @ part
    if not rows:
        return np.eye(dim)
    turned, values, _ = np.linalg.svd(np.concatenate(rows, axis=1))
    return turned[:, int((values > _SAME * values[0]).sum()) :]
