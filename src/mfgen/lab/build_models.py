"""From a specification to models: one line in a table for each kind.

A model is built for a game and, where it starts from them, the training data.
"""

from collections.abc import Callable
from typing import Any

import jax

from mfgen._types import Batch, Key
from mfgen.lab import build_particles, spec, spec_particles
from mfgen.lab.cloud import Cloud
from mfgen.lab.custom import Imports, expect
from mfgen.models.base import AbstractModel
from mfgen.models.control import control_field
from mfgen.models.estimate import kernel_estimate, mixture_estimate
from mfgen.models.kernel import kernel_potential
from mfgen.models.potential import ot_flow_potential
from mfgen.models.proximal_kernel import proximal_kernel
from mfgen.models.score import score_field, score_potential
from mfgen.problem.game import MFG


def model(
    part: spec.Model, game: MFG, data: Batch, imports: Imports, *, key: Key
) -> AbstractModel | Cloud:
    """The untrained model of a specification; of particles, where they start.

    Arguments:
        part: the specification of the model.
        game: the game it represents.
        data: training data `[n, dim]`, where a model starts from it.
        imports: loads components of the user's own, which are called with `game` and `key`.
        key: random key of the initial weights.
    """
    return _MODELS[type(part)](part, game, data, imports, key)


def _network(make: Callable, *names: str) -> Callable:
    def build(part, game: MFG, data: Batch, imports: Imports, key: Key) -> AbstractModel:
        reference = None
        if part.reference is not None:
            estimate = _MODELS[type(part.reference)]
            reference = estimate(part.reference, game, data, imports, jax.random.fold_in(key, 1))
        options = {name: getattr(part, name) for name in names}
        return make(game, key=key, reference=reference, **options)

    return build


def _kernel(
    part: spec.KernelModel, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del imports
    full = part.covariance == "full"
    return kernel_potential(game, data, components=part.components, full=full, key=key)


def _kernel_estimate(
    part: spec.KernelEstimate, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del part, imports
    return kernel_estimate(game, data, key=key)


def _mixture_estimate(
    part: spec.MixtureEstimate, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del imports
    return mixture_estimate(game, data, components=part.components, key=key)


def _proximal_estimate(
    part: spec.ProximalEstimate, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del part, imports
    return proximal_kernel(game, data, key=key).untrained()


def _imported(part: spec.Import, game: MFG, data: Batch, imports: Imports, key: Key) -> Any:
    del data
    return expect(imports.call(part, game, key=key), AbstractModel, part)


def _ot_flow(
    part: spec.OTFlowModel, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del data, imports
    return ot_flow_potential(game, width=part.width, depth=part.depth, key=key)


def _control(
    part: spec.ControlModel, game: MFG, data: Batch, imports: Imports, key: Key
) -> AbstractModel:
    del data, imports
    options = {name: getattr(part, name) for name in ("width", "depth", "frequencies")}
    return control_field(game, key=key, **options)


_TRUNK = ("width", "depth", "frequencies", "scale")
_MODELS: dict[type, Callable] = {
    spec.PotentialModel: _network(score_potential, "inner", *_TRUNK),
    spec.FieldModel: _network(score_field, *_TRUNK),
    spec.OTFlowModel: _ot_flow,
    spec.ControlModel: _control,
    spec_particles.Particles: build_particles.cloud,
    spec.KernelModel: _kernel,
    spec.KernelEstimate: _kernel_estimate,
    spec.MixtureEstimate: _mixture_estimate,
    spec.ProximalEstimate: _proximal_estimate,
    spec.Import: _imported,
}
