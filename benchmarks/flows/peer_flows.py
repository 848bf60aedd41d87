"""Flows of other authors on 8 Gaussians: their formulas checked, their steps timed.

OT-Flow is in `peer_ot_flow`, FFJORD in `peer_ffjord`. Flow matching (A. Tong et al. 2024, arXiv
2302.00482) fits f to x_1 - x_0 at (1 - t) x_0 + t x_1 + sigma eps, with x_0 of N(0, I) and x_1 of
the data drawn apart, or coupled by an optimal plan of the batch: classes and network of torchcfm.

    python -m benchmarks.flows.peer_flows           # formulas against autograd, then times of steps
    python -m benchmarks.flows.peer_flows --check   # formulas only

Formulas are compared in double precision: gradient and trace of the potential of OT-Flow with
automatic differentiation, the divergence of FFJORD with the trace of the Jacobian, gradients of
both losses with differences.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchcfm import ConditionalFlowMatcher, ExactOptimalTransportConditionalFlowMatcher
from torchcfm.models import MLP

from benchmarks.flows import peer_ot_flow as ot_flow
from benchmarks.flows.peer_ffjord import (
    ffjord_field,
    ffjord_loss,
    ffjord_steps,
    ffjord_trained,
    ffjord_weights,
    velocity,
)
from benchmarks.flows.peer_ot_flow import arrays, eight_gaussians, parameters
from benchmarks.flows.peer_potential import (
    Arrays,
    Derivatives,
    lean,
    ot_flow_weights,
    potential,
    published,
)
from benchmarks.harness.threads import THREADS
from benchmarks.harness.timing import Steps, timed

RATE, BLUR = 1e-3, 0.1


def cfm_weights(seed: int = 0) -> Arrays:
    """Weights of the network of torchcfm (width 64, SELU, time as the last input) at the start."""
    return arrays(_network(seed).state_dict())


def _network(seed: int) -> MLP:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MLP(dim=2, w=64, time_varying=True)


def cfm_loss(
    weights: Arrays, t: np.ndarray, xt: np.ndarray, ut: np.ndarray
) -> tuple[Tensor, Arrays]:
    """The mean square of f(t, xt) - ut over points and coordinates, and its gradient."""
    network = _network(0)
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    loss = _mismatch(network.to(torch.tensor(xt).dtype), *map(torch.tensor, (t, xt, ut)))
    return ot_flow.with_gradients(loss, dict(network.named_parameters()))


def _mismatch(network: MLP, t: Tensor, xt: Tensor, ut: Tensor) -> Tensor:
    return (network(torch.cat([xt, t[:, None]], 1)) - ut).square().mean()


def cfm_steps(batch: int, *, coupled: bool) -> Steps:
    """Training steps of flow matching, drawing of data and the plan of the batch included."""
    kind = ExactOptimalTransportConditionalFlowMatcher if coupled else ConditionalFlowMatcher
    matcher, network = kind(sigma=BLUR), _network(0)
    random = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)

    def steps(count: int) -> None:
        for _ in range(count):
            x1 = eight_gaussians(batch, random)
            t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
            optimiser.zero_grad()
            _mismatch(network, t, xt, ut).backward()
            optimiser.step()

    return steps


def step_time(steps: Steps, rounds: int, seconds: float = 0.3) -> float:
    """The median processor time of a step."""
    torch.set_num_threads(THREADS)
    measure = timed(steps, seconds=seconds)
    return statistics.median(measure().cpu for _ in range(rounds))


def ot_flow_step_time(
    dim: int, width: int, batch: int = 1024, rounds: int = 5, derive: Derivatives = published
) -> float:
    return step_time(ot_flow.ot_flow_steps(dim, width, batch, derive=derive), rounds)


def ffjord_step_time(weights: Arrays, batch: int = 1024, rounds: int = 5) -> float:
    return step_time(ffjord_steps(parameters(weights), batch, rate=0.0), rounds)


def cfm_step_time(batch: int, *, coupled: bool, rounds: int = 5) -> float:
    return step_time(cfm_steps(batch, coupled=coupled), rounds)


def check_ot_flow(derive: Derivatives, dim: int, depth: int, width: int = 16) -> None:
    """Gradient and trace of the potential against automatic differentiation."""
    random = np.random.default_rng(1)
    weights = {
        name: torch.tensor(array + 0.3 * random.normal(size=array.shape))
        for name, array in ot_flow_weights(dim, width, depth).items()
    }
    s = torch.tensor(random.normal(size=(7, dim + 1)))
    gradient, trace = derive(weights, s)
    phi = lambda point: potential(weights, point[None])[0]
    hessian = torch.stack([torch.autograd.functional.hessian(phi, point) for point in s])
    exact = torch.stack([torch.autograd.functional.jacobian(phi, point) for point in s])
    torch.testing.assert_close(gradient, exact)
    torch.testing.assert_close(trace, hessian.diagonal(dim1=1, dim2=2)[:, :dim].sum(1))


def check_ffjord() -> None:
    """The divergence against the trace of the Jacobian."""
    weights = doubled(ffjord_weights())
    held, x = parameters(weights), np.random.default_rng(1).normal(size=(7, 2))
    field = lambda point: velocity(held, torch.tensor(0.3), point)
    exact = [torch.autograd.functional.jacobian(field, point).trace() for point in torch.tensor(x)]
    np.testing.assert_allclose(ffjord_field(weights, 0.3, x)[1], torch.stack(exact), rtol=1e-6)


def check_gradients() -> None:
    """Gradients of the losses against differences."""
    x = eight_gaussians(7, torch.Generator().manual_seed(1)).numpy().astype(np.float64)
    differences(lambda weights: ffjord_loss(weights, x, 1e-8), doubled(ffjord_weights()))
    for derive in (published, lean):
        loss = partial(ot_flow.ot_flow_loss, batch=x, derive=derive)
        differences(loss, doubled(ot_flow_weights(2)))


def doubled(weights: Arrays) -> Arrays:
    return {name: array.astype(np.float64) for name, array in weights.items()}


def differences(loss: Callable, weights: Arrays, size: float = 1e-5) -> None:
    """The gradient along a random direction against a central difference."""
    random = np.random.default_rng(2)
    along = {name: random.normal(size=array.shape) for name, array in weights.items()}
    shifted = lambda by: {name: array + by * along[name] for name, array in weights.items()}
    gradient = loss(weights)[1]
    slope = sum((gradient[name] * along[name]).sum() for name in weights)
    change = (loss(shifted(size))[0] - loss(shifted(-size))[0]).item() / (2 * size)
    length = math.sqrt(sum(np.square(array).sum() for array in gradient.values()))
    np.testing.assert_allclose(slope, change, rtol=0, atol=1e-5 * length)


def check() -> None:
    """Compares all formulas.

    Raises:
        AssertionError: if they differ.
    """
    for derive, (dim, depth) in itertools.product((published, lean), ((2, 2), (3, 4), (12, 3))):
        check_ot_flow(derive, dim, depth)
    check_ffjord()
    check_gradients()
    print("formulas agree with automatic differentiation", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and time the flows of other authors.")
    parser.add_argument("--check", action="store_true", help="formulas only")
    check()
    if parser.parse_args().check:
        return
    for derive, (dim, width) in itertools.product((published, lean), ((2, 32), (10, 64))):
        spent = ot_flow_step_time(dim, width, derive=derive)
        print(f"OT-Flow, {derive.__name__}, {dim} axes: {spent:.4f} s")
    x = eight_gaussians(1024, torch.Generator().manual_seed(1)).numpy()
    for count in (0, 150):
        weights = ffjord_trained(count, batch=1024)
        spent, evaluations = ffjord_step_time(weights), ffjord_loss(weights, x)[2]
        print(f"FFJORD after {count} steps: {spent:.4f} s, evaluations {evaluations}")
    for batch, coupled in itertools.product((256, 1024), (False, True)):
        spent = cfm_step_time(batch, coupled=coupled)
        print(f"flow matching, batch {batch}, coupled {coupled}: {spent:.5f} s")


if __name__ == "__main__":
    main()
