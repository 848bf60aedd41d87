"""Times of training steps and likelihoods, taken side by side by `benchmarks.harness.timing`.

Times are of one core, so this is a program of its own:

    python -m benchmarks.hjb.clock OUT [--quick]        # OUT: where the costs are kept
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.harness.threads import one_core
from benchmarks.harness.timing import Steps, median, ratio, take_turns, timed
from benchmarks.hjb.cost import Costs
from benchmarks.hjb.whole import timed_methods
from mfgen.lab import Case, assemble
from mfgen.models import mixture_estimate
from mfgen.simulate import FlowLikelihood, OneShot, RungeKutta4, log_prob
from mfgen.trainers import Problem
from mfgen.trainers._run import Carry, advance

_ROUNDS = 9


def measure(*, quick: bool) -> Costs:
    """Steps of all methods in turn, in each dimension."""
    costs = Costs({}, {}, {})
    for dim, methods in timed_methods(quick).items():
        measures, starts = {}, {}
        for name, experiment in methods.items():
            case = assemble(experiment)
            if "corrected" in name:
                starts[name] = _seconds(lambda case=case: _estimate(case))
            measures[name] = timed(_stepper(case), seconds=0.25)
        samples = take_turns(measures, rounds=_ROUNDS)
        costs.step[str(dim)] = {name: 1e3 * median(taken).cpu for name, taken in samples.items()}
        costs.start[str(dim)] = starts
        costs.likelihood[str(dim)] = _likelihoods(assemble(methods["plain"]))
        print(f"d = {dim}: {costs.step[str(dim)]}", flush=True)
    return costs


def _estimate(case: Case) -> None:
    mixture_estimate(case.game, case.samples.train, key=jax.random.key(0))


def _seconds(action: Callable[[], None]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _likelihoods(case: Case) -> float:
    """Ten Runge-Kutta steps over one evaluation, for 1,000 points at once."""
    points = jnp.asarray(case.samples.train[:1000])
    methods = {
        "flow": FlowLikelihood(RungeKutta4(10)),
        "one": OneShot(),
    }

    def repeated(method):
        evaluate = eqx.filter_jit(
            lambda x: log_prob(case.game, case.model, x, method=method, chunk=len(points))
        )

        def steps(count: int) -> None:
            for _ in range(count):
                jax.block_until_ready(evaluate(points))

        return steps

    measures = {name: timed(repeated(method), seconds=0.25) for name, method in methods.items()}
    return ratio(*take_turns(measures, rounds=_ROUNDS).values()).of_medians


def _stepper(case: Case) -> Steps:
    key, problem = jax.random.key(2), Problem(case.game, jnp.asarray(case.samples.train))
    trainer = case.trainer(case.objective).prepared(problem, 1000, key=key)
    carry = Carry(trainer.init(problem, key=key), jnp.asarray(0, jnp.int32))

    def steps(count: int) -> None:
        nonlocal carry
        count = jnp.asarray(count)
        carry, _, _ = jax.block_until_ready(advance(trainer, problem, carry, key, count))

    steps(0)
    return steps


if __name__ == "__main__":
    one_core()
    Path(sys.argv[1]).write_text(
        json.dumps(measure(quick="--quick" in sys.argv)._asdict(), indent=1)
    )
