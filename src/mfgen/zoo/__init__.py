"""Generative models declared as games, and the parts that their documents name.

The names below are imported when they are asked for.
"""

from importlib import import_module as _import

_NAMES = {
    "mfgen.problem.functional": ("Scaled", "Sum"),
    "mfgen.problem.kernel": ("MeanKernel",),
    "mfgen.problem.embedded": ("Embedded",),
    "mfgen.density.gaussian": ("isotropic",),
    "mfgen.simulate.divergence": ("Hutchinson",),
    "mfgen.solvers.divergence_flow": ("BlobFlow", "LangevinFlow", "SteinFlow"),
    "mfgen.solvers.generative_particles": ("critic_flow",),
    "mfgen.solvers.mmd_flow": ("MMDFlow",),
    "mfgen.trainers.alternating": ("adversarial_optimiser",),
    "mfgen.trainers.dissipation": ("WeightedDissipation",),
    "mfgen.trainers.shorthands": ("DissipationHJB",),
    "mfgen.trainers.windows": ("Windows",),
    "mfgen.zoo.flows": ("Hill", "Stretched", "bridge_game", "energy_game", "flow_game"),
    "mfgen.zoo.jko": ("jko_game",),
    "mfgen.zoo.minimising": ("MinimisingMovement",),
    "mfgen.zoo.parts": ("first_rows", "normal"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(_import(_MODULES[name]), name)
    raise AttributeError(f"module 'mfgen.zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_MODULES)
