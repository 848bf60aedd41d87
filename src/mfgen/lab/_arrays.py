"""What figures of a trained model are drawn from: computed once and kept as arrays.

samples.npz     samples and data in original units
profiles.json   HJB residual and score error along the noise ratio
fields.npz      in the plane: density at the data end and score at a middle noise level,
                of the model and where known of the truth, in original units
descent.npz     what a law goes down while it is trained or moved, as estimated on the way: times,
                energies and their standard errors, the largest rise, the functional
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.densities._base import score as exact_score
from mfgen.lab._case import Case, keys
from mfgen.lab._context import Context, NotApplicable
from mfgen.lab._store import RunFolder
from mfgen.losses._payment import name_of
from mfgen.metrics import _equation, _score
from mfgen.metrics._estimate import Profile
from mfgen.models._base import score as model_score
from mfgen.solvers._particle import Cloud, Descent, Particles, descended
from mfgen.trainers._run import Run
from mfgen.zoo._gradient_flow import dissipation
from mfgen.zoo._minimising import MovementState

_LEVELS, _POINTS = 24, 512  # of a profile: levels along the noise, points at each
_FINE, _COARSE = 120, 16  # points per axis of densities and of scores
MIDDLE = 0.3  # noise ratio at which scores are drawn: modes are blurred but not yet merged


def keep(folder: RunFolder, context: Context) -> None:
    """Computes and writes the arrays of a run; what does not apply is left out."""
    for name, arrays in (("samples.npz", _samples), ("fields.npz", _fields)):
        try:
            folder.write_arrays(name, arrays(context))
        except NotApplicable:
            continue
    folder.write_json("profiles.json", _profiles(context))


def keep_descent(folder: RunFolder, case: Case, model: Any, trained: Run | None) -> None:
    """Writes what went down in a training, for figures and the summary; nothing for others."""
    match trained:
        case Run(points, Cloud(), history, Particles(step_size=step)):
            found = descended(points, history, float(step))
        case Run(_, MovementState() as state):
            blocks = len(state.divergences) - 1
            times = np.linspace(0.0, float(case.game.dynamics.horizon), blocks + 1)
            energies, errors = np.asarray(state.divergences), np.asarray(state.errors)
            found = Descent(state.points, times, energies, errors, 0.0)
        case _ if float(case.game.discount) and not case._replace(model=model).moved:
            found = dissipation(case.game, model, key=keys(case.experiment.seed)["evaluation"])
        case _:
            return
    arrays = {name: getattr(found, name) for name in ("times", "energies", "standard_errors")}
    functional = np.array(name_of(case.game.terminal))
    arrays |= {"rise": np.asarray(found.rise), "functional": functional}
    folder.write_arrays("descent.npz", arrays)


def descent(folder: RunFolder) -> dict[str, Any] | None:
    """What went down in a run, for its summary; `None` if nothing did."""
    kept = folder.arrays("descent.npz")
    if not kept:
        return None
    return {
        "functional": str(kept["functional"]),
        "first": float(kept["energies"][0]),
        "last": float(kept["energies"][-1]),
        "standard_error": float(kept["standard_errors"][-1]),
        "rise": float(kept["rise"]),
        "time": float(kept["times"][-1]),
    }


def _samples(context: Context) -> dict[str, np.ndarray]:
    original = context.samples.original
    return {
        "samples": original(context.generated),
        "data": original(context.fresh),
        "columns": np.array(context.samples.columns),
    }


def _profiles(context: Context) -> dict[str, Any]:
    try:
        noising = context.require_noising()
    except NotApplicable:
        return {}
    ends = [float(noising.ratio(s)) for s in (noising.start, noising.horizon)]
    # The ends themselves are left out: rounding would carry them beyond the interval.
    ratios = jnp.asarray(np.geomspace(ends[0] * 1.001, ends[1] * 0.999, _LEVELS))
    times = noising.horizon - jax.vmap(noising.time)(ratios)
    profiles: dict[str, Any] = {"noise_ratio": np.asarray(ratios).tolist()}
    for name, compute in (("hjb", _hjb), ("score", _scores)):
        try:
            profiles[name] = _listed(compute(context, times))
        except NotApplicable:
            continue
    return profiles


def _hjb(context: Context, times: jax.Array) -> Profile:
    potential, data = context.require_potential(), context.fresh[:_POINTS]
    return _equation.hjb_profile(context.game, potential, data, times, key=context.key)


def _scores(context: Context, times: jax.Array) -> Profile:
    context.require_score()
    truth = context.require_noisable()
    return _score.score_profile(
        context.game, context.trained, truth, times, key=context.key, n=_POINTS
    )


def _listed(profile: Profile) -> dict[str, list[float]]:
    names = ("value", "standard_error")
    return {name: np.asarray(getattr(profile, name)).tolist() for name in names}


def _fields(context: Context) -> dict[str, np.ndarray]:
    noising, horizon = context.require_score(), context.game.dynamics.horizon
    if context.samples.train.shape[1] != 2:
        raise NotApplicable("fields are drawn in the plane alone")
    low, high = np.quantile(context.samples.train, [0.002, 0.998], axis=0)
    low, high = low - 0.15 * (high - low), high + 0.15 * (high - low)
    fine, coarse = (_grid(low, high, count) for count in (_FINE, _COARSE))
    s = float(noising.time(MIDDLE))
    signal, noise = noising.signal(s), noising.noise(s)
    corners = context.samples.original(np.stack([low, high]))
    arrays = {
        "noise_ratio": np.asarray(MIDDLE),
        "extent": np.array([corners[0, 0], corners[1, 0], corners[0, 1], corners[1, 1]]),
        # The noised point signal x has score grad log eta(signal x) signal in units of x.
        "model_score": _at(
            lambda x: signal * model_score(context.trained, noising.horizon - s, signal * x), coarse
        ),
    }
    jacobian = context.samples.scaling.log_jacobian
    try:
        potential = context.require_potential()
        arrays["model_density"] = np.exp(_at(lambda x: -potential(horizon, x), fine) + jacobian)
    except NotApplicable:
        pass
    if context.samples.truth is not None:
        truth = context.samples.truth
        arrays["truth_density"] = np.exp(_at(truth.log_density, fine) + jacobian)
        if context.samples.noisable is not None:
            noised = context.samples.noisable.noised(signal, noise)
            arrays["truth_score"] = _at(lambda x: signal * exact_score(noised)(signal * x), coarse)
    return arrays


def _grid(low: np.ndarray, high: np.ndarray, count: int) -> jax.Array:
    axes = [np.linspace(low[i], high[i], count) for i in range(2)]
    return jnp.asarray(np.stack(np.meshgrid(*axes), axis=-1))


def _at(function, grid: jax.Array) -> np.ndarray:
    rows = jax.jit(lambda grid: jax.lax.map(jax.vmap(function), grid))
    return np.asarray(rows(grid))
