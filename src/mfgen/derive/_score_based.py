"""A test whether a game is score-based, by what it computes and not by the names of its parts.

In a score-based game the value function is minus the log-density of the population,

    U(t, x) = -log rho(t, x),      grad log rho = -grad U,

on which probability flows, score matching, Langevin corrections and log-densities in one evaluation
rest. By the Hopf-Cole transform it holds where all of these hold, with r, g the rate and diffusion
of a noising at s = S - t:

    dynamics      dX = [-r X + g v] dt + g dW             (control and noise enter alike)
    Hamiltonian   H = r x.p + (g^2 / 2) |p|^2 - r dim     (L = |v|^2 / 2 - div f)
    interaction   none, and no discount: r U would be -r log rho
    end           U(T) = -log pi for the density pi of the data, whatever the population

For a forward process dY = f ds + g dW with any drift it is the same with -f for -r X, and

    H = f.p + |g^T p|^2 / 2 - div f.

Labels beside the points take no part in it. A change in any of them changes the solution and leaves
the types of the others as they are. The parts of the library are known; any other, subclasses among
them, is compared with these formulas at points drawn once, in double precision on the host. What is
being traced there cannot be looked at,
and passes: whoever traces it asks before (`check` of a sampler or a likelihood).

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2.
"""

from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen.costs._cost import ScoreLagrangian
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, densities
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.derive._probe import dimension
from mfgen.dynamics._dynamics import AbstractDynamics
from mfgen.dynamics._noising import AbstractNoising, TimeReversal
from mfgen.functionals._functional import (
    AbstractFunctional,
    CrossEntropy,
    Number,
    Scaled,
    Sum,
    Zero,
)
from mfgen.games._game import MFG
from mfgen.math._autodiff import divergence
from mfgen.math._host import in_double
from mfgen.math._linear_map import adjoint

_SAME = 1e-5  # relative, of what should be equal; a maximum found by Newton's method is better
_PLACES = 12  # points at which parts are compared
_MOST = 64  # verdicts that are remembered, of parts without arrays

_KNOWN: dict[tuple, bool] = {}


def is_score_based(game: MFG, *, named: bool = False) -> bool:
    """Whether the value function of the game is U = -log rho, so that grad log rho = -p.

    Arguments:
        game: the game.
        named: whether the density of the data has to be named by the terminal cost. Otherwise any
            end that is linear in the density will do, whose U is -log rho up to a constant.
    """
    return misfit(game, named=named) is None


def score_dynamics(owner: str, game: MFG, *, named: bool = False) -> TimeReversal:
    """The dynamics of a score-based game, one in which grad log rho = -p.

    Raises:
        TypeError: in the name of `owner`, if the game is of another kind; it names the part.
    """
    fault, dynamics = misfit(game, named=named), game.dynamics.of_points
    if fault is None and isinstance(dynamics, TimeReversal):
        return dynamics
    parts = ", ".join(f"`{_name(part)}`" for part in (game.dynamics, game.lagrangian))
    raise TypeError(
        f"`{owner}` got a game of {parts} with {fault}; expected a score-based one, where "
        "grad log rho = -grad U: build it with `score_based`, or follow the game's own control by "
        "`EulerMaruyama` or `StochasticHeun`, trained by `GameCost()` or solved by `Grid`, "
        "`Riccati` or `Neural`."
    )


def score_noising(owner: str, game: MFG, *, named: bool = False) -> AbstractNoising:
    """The noising of a score-based game whose kernel is signal x + noise eps.

    Raises:
        TypeError: in the name of `owner`, if the game is of another kind.
    """
    process = score_dynamics(owner, game, named=named).noising
    if isinstance(process, AbstractNoising):
        return process
    raise TypeError(
        f"`{owner}` got a score-based game of `{_name(process)}`, expected a noising "
        "signal x + noise eps, such as `VP()` or `Noising(signal, noise)`: it reads both."
    )


def target(game: MFG) -> AbstractDensity:
    """The density pi that the terminal cost of a score-based game names."""
    return densities(game.terminal)[0]


def misfit(game: MFG, *, named: bool = False) -> str | None:
    """The part of the game that is not as in a score-based one, and why; `None` if all are."""
    dynamics = game.dynamics.of_points
    if not isinstance(dynamics, TimeReversal):
        return f"dynamics `{_name(dynamics)}`, expected `TimeReversal` of a noising such as `VP()`"
    if not reverses(dynamics, steered=True):
        return (
            f"dynamics `{_name(dynamics)}`, which are not dX = [-r X + g v] dt + g dW with "
            "the rate r and the diffusion g of their noising, expected `TimeReversal(noising)`"
        )
    if game.discount > 0:
        return f"discount = {game.discount:g}, expected 0: with it exp(-U) is no density"
    fault = _cost_misfit(game, dynamics) or _interaction_misfit(game)
    return fault or _end_misfit(game, named)


def reverses(dynamics: AbstractDynamics, *, steered: bool = False) -> bool:
    """Whether the dynamics of the points are those of their noising run backwards.

    Arguments:
        dynamics: any.
        steered: whether the gain has to be the diffusion, too.
    """
    points = dynamics.of_points
    if type(points) is TimeReversal:
        return True
    return isinstance(points, TimeReversal) and _holds(_reversal_gap, (points,), (points, steered))


def _reversal_gap(dynamics: TimeReversal, steered: bool) -> float:
    plain = TimeReversal(dynamics.noising)
    t, x, _ = _probes(plain, 2)

    def values(dynamics: AbstractDynamics) -> list:
        parts = lambda t, x: (
            dynamics.free(t, x),
            dynamics.diffusion(t),
            dynamics.gain(t) if steered else t,
        )
        return [*jax.vmap(parts)(t, x), jnp.asarray(dynamics.horizon)]

    found, wanted = values(dynamics), values(plain)
    if dynamics.deterministic or [a.shape for a in found] != [a.shape for a in wanted]:
        return np.inf
    return max(_relative(a, b, jnp.abs(b)) for a, b in zip(found, wanted, strict=True))


def _cost_misfit(game: MFG, dynamics: TimeReversal) -> str | None:
    cost = game.lagrangian.of_points
    if type(cost) is ScoreLagrangian and type(dynamics) is TimeReversal:
        same = eqx.tree_equal(cost.dynamics, dynamics)
        if isinstance(same, Tracer) or bool(same):
            return None
    if _holds(_hamiltonian_gap, (cost, dynamics), (game,)):
        return None
    return (
        f"the Lagrangian `{_name(cost)}`, whose Hamiltonian is not r x.p + g^2 |p|^2 / 2 - r dim "
        "for the rate r and the diffusion g of its noising, expected "
        "`ScoreLagrangian(game.dynamics)`"
    )


def _hamiltonian_gap(game: MFG) -> float:
    t, x, p = _probes(game.dynamics, dimension(game))

    def terms(t, x, p):
        free = lambda x: game.dynamics.free(t, x)
        played = adjoint(game.dynamics.diffusion(t), p)
        wanted = -free(x) @ p, 0.5 * played @ played, divergence(free)(x)
        return hamiltonian(game, t, x, p), jnp.stack([jnp.asarray(part) for part in wanted])

    found, wanted = jax.jit(jax.vmap(terms))(t, x, p)
    return _relative(found, jnp.sum(wanted, axis=1), jnp.sum(jnp.abs(wanted), axis=1))


def _interaction_misfit(game: MFG) -> str | None:
    left = [part for _, part in _terms(game.interaction)]
    if not left or _holds(_interaction_gap, (game.interaction,), (game,)):
        return None
    names = ", ".join(f"`{_name(part)}`" for part in left)
    return f"an interaction {names}, expected none: `Zero()`"


def _interaction_gap(game: MFG) -> float:
    _, x, _ = _probes(game.dynamics, dimension(game))
    charged = jax.vmap(lambda x: game.interaction.variation(None, x))(x)
    return float(jnp.max(jnp.abs(charged)))


def _end_misfit(game: MFG, named: bool) -> str | None:
    terms = list(_terms(game.terminal))
    expected = "expected `CrossEntropy(density)` of weight one, with which U(T) = -log density"
    if not terms:
        return f"no terminal cost, {expected}"
    if len(terms) == 1 and type(terms[0][1]) is CrossEntropy:
        weight = terms[0][0]
        if isinstance(weight, Tracer) or float(weight) == 1:
            return None
        return f"{float(weight):g} times `CrossEntropy` as its terminal cost, {expected}"
    density = next(iter(densities(game.terminal)), None)
    if isinstance(density, AbstractEvaluable):
        fits = _holds(_end_gap, (game.terminal,), (game, density))
    else:
        whole = density is None and not named
        fits = whole and _holds(_unlinear, (game.terminal,), (game,))
    if fits:
        return None
    names = " + ".join(f"`{_name(part)}`" for _, part in terms)
    return f"the terminal cost {names}, {expected}"


def _end_gap(game: MFG, target: AbstractEvaluable) -> float:
    _, x, _ = _probes(game.dynamics, target.dim)
    mean, covariance = target.moments()
    x = mean[None, :] + jnp.sqrt(jnp.trace(covariance) / target.dim) * x
    wanted = -jax.vmap(target.log_density)(x)
    found = jax.vmap(lambda x: game.terminal.variation(None, x))(x)
    # Of two that are infinite at one place nothing is known there.
    seen = jnp.isfinite(wanted)
    if not bool(jnp.any(seen)):
        return np.inf
    return _relative(found[seen], wanted[seen], jnp.abs(wanted[seen]) + 1)


def _unlinear(game: MFG) -> float:
    """Zero for a price of places, the same for every population, that is not one constant."""
    _, x, _ = _probes(game.dynamics, dimension(game))
    found = jax.vmap(lambda x: game.terminal.variation(None, x))(x)
    seen = found[jnp.isfinite(found)]
    varies = seen.size and jnp.max(seen) - jnp.min(seen) > _SAME * jnp.max(jnp.abs(seen))
    return 0.0 if bool(varies) else np.inf


def _terms(
    functional: AbstractFunctional, weight: Number = 1.0
) -> Iterator[tuple[Number, AbstractFunctional]]:
    """The functionals that a cost is the weighted sum of, without those that are zero."""
    if type(functional) is Sum:
        for term in functional.terms:
            yield from _terms(term, weight)
    elif type(functional) is Scaled:
        yield from _terms(functional.functional, weight * functional.scale)
    elif type(functional) is not Zero and (isinstance(weight, Tracer) or float(weight) != 0):
        yield weight, functional


def _probes(dynamics: AbstractDynamics, dim: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Times `[n]`, half of them by the noise ratio, places and costates `[n, dim]`."""
    rng = np.random.default_rng(20_304)
    shares = rng.uniform(0.0, 1.0, _PLACES)
    if isinstance(dynamics.of_points, TimeReversal):
        noising = dynamics.of_points.noising
        low, high = (float(noising.ratio(s)) for s in (noising.start, noising.horizon))
        by_ratio = [
            (noising.horizon - float(noising.time(low * (high / low) ** share)))
            / float(dynamics.horizon)
            for share in shares[::2]
        ]
        shares[::2] = np.clip(by_ratio, 0.0, 1.0)
    sizes = np.geomspace(0.1, 8.0, _PLACES)[:, None]
    x, p = rng.normal(size=(2, _PLACES, dim))
    order = rng.permutation(_PLACES)
    times = shares * float(dynamics.horizon)
    return jnp.asarray(times), jnp.asarray(sizes * x), jnp.asarray(sizes[order] * p)


def _holds(gap: Callable[..., float], parts: tuple, arguments: tuple) -> bool:
    """Whether `gap(*arguments)` vanishes, in double precision; what is being traced passes.

    Arguments:
        gap: a relative difference that depends on `parts` alone, and on the dimension.
        parts, arguments: of the game.
    """
    leaves, structure = jax.tree.flatten(parts)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return True
    key = (gap, structure, *leaves, *(one for one in arguments if isinstance(one, bool)))
    try:
        if key not in _KNOWN:
            while len(_KNOWN) >= _MOST:
                _KNOWN.pop(next(iter(_KNOWN)))
            _KNOWN[key] = _vanishes(gap, arguments)
        return _KNOWN[key]
    except TypeError:  # parts that hold arrays have no hash
        return _vanishes(gap, arguments)


def _vanishes(gap: Callable[..., float], arguments: tuple) -> bool:
    try:
        return in_double(gap, *arguments) <= _SAME
    except jax.errors.ConcretizationTypeError:
        return True  # a function of the user's that holds something traced
    except Exception:  # a part that refuses, or cannot do without a population
        return False


def _relative(found: jax.Array, wanted: jax.Array, size: jax.Array) -> float:
    gap = jnp.abs(found - wanted) / (size + _SAME * jnp.max(size, initial=0.0) + 1e-300)
    return float(jnp.max(jnp.where(jnp.isfinite(gap), gap, jnp.inf)))


def _name(part: object) -> str:
    return type(part).__name__
