"""Specifications of the recipes of gradient flows: what particles go down, in standard units."""

from typing import NamedTuple

from mfgen.lab import spec, spec_particles
from mfgen.lab.catalogue import ENERGIES

# Without noise two thousand points fill the plane as well as a sample does.
_CLOUD = spec_particles.Particles(count=2000)


class _Particles(NamedTuple):
    flow: spec_particles.Flow
    steps: int


_FLOWS: dict[str, _Particles] = {
    "langevin": _Particles(spec_particles.Langevin(), 1000),
    "svgd": _Particles(spec_particles.Stein(width=0.3), 500),
    "gradient-flow": _Particles(spec_particles.Blob(), 500),
    "mmd-flow": _Particles(spec_particles.Discrepancy(), 1500),
    "generative-particles": _Particles(spec_particles.GenerativeParticles(), 600),
}


def particle_experiment(name: str, data: spec.Data) -> spec.Experiment | None:
    """The recipe of that name on some data; `None` if there is none."""
    if name in _TRAINED:
        return _TRAINED[name](name, data)
    found = _FLOWS.get(name)
    if found is None:
        return None
    flow, spread = found.flow, found.flow.spread
    if data.name in ENERGIES:
        spread = 1.0  # their coordinates are those in which a normal law near them is standard
    return spec.Experiment(
        name=name,
        data=data,
        game=spec.replace(flow, spread=spread),
        model=_CLOUD,
        objective=(),
        training=spec.Training(steps=found.steps, every=max(1, found.steps // 25)),
        evaluation=spec.Evaluation(samples=_CLOUD.count),
    )


def _proximal(name: str, data: spec.Data) -> spec.Experiment:
    fresh = spec.Paths(starts="initial")
    return spec.Experiment(
        name=name,
        data=data,
        game=spec_particles.Proximal(),
        model=spec.OTFlowModel(width=64),
        objective=(
            spec_particles.PathCost(),
            spec.TransportCost(paths=fresh),
            spec.PathHJB(weight=0.1, paths=fresh),
            spec_particles.PathCostate(weight=0.1),
        ),
        training=spec.Training(steps=1500, learning_rate=5e-3),
        evaluation=spec.Evaluation(sampler=spec.ProbabilityFlow()),
    )


def _movement(name: str, data: spec.Data) -> spec.Experiment:
    game = spec_particles.Movement()
    # Eight steps of the integrator for each block, so that none of them crosses a jump.
    runge_kutta = spec.RungeKutta(steps=8 * game.blocks)
    return spec.Experiment(
        name=name,
        data=data,
        game=game,
        model=spec.OTFlowModel(),
        objective=(spec.PathLikelihood(), spec.TransportCost(), spec.PathHJB()),
        training=spec.Training(steps=2400, learning_rate=1e-2),
        evaluation=spec.Evaluation(
            sampler=spec.ProbabilityFlow(integrator=runge_kutta),
            likelihood=spec.FlowLikelihood(integrator=runge_kutta),
        ),
    )


def _discounted(name: str, data: spec.Data) -> spec.Experiment:
    spread = 1.0 if data.name in ENERGIES else spec_particles.Discounted().spread
    return spec.Experiment(
        name=name,
        data=data,
        game=spec_particles.Discounted(spread=spread),
        model=spec.OTFlowModel(),
        objective=(
            spec_particles.WeightedDissipation(),
            spec_particles.DissipationHJB(weight=0.1),
        ),
        training=spec.Training(steps=1500, learning_rate=1e-2),
        evaluation=spec.Evaluation(sampler=spec.ProbabilityFlow()),
    )


_TRAINED = {"w1w2-flow": _proximal, "jko": _movement, "discounted-flow": _discounted}
