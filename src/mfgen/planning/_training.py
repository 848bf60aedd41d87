"""The training of a declared game, by the first way that fits it, up to its solution.

declare -> plan -> train -> one Solution -> sample, log_prob, certify, compare
"""

import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Count, Given, Key
from mfgen.data._validate import check_samples
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.models._base import AbstractModel
from mfgen.planning._planner import plan
from mfgen.simulate._base import at_points
from mfgen.simulate._solution import Result, solution, trained
from mfgen.trainers._gradient import dimension
from mfgen.trainers._history import Callback
from mfgen.trainers._run import Run, run
from mfgen.trainers._state import Checkpoints
from mfgen.trainers._trainer import Problem


def train(
    game: MFG,
    data: Given | None = None,
    *,
    key: Key,
    steps: Count | None = None,
    way: str | None = None,
    model: AbstractModel | None = None,
    learning_rate: float | None = None,
    batch_size: Count = 256,
    validation: Given | None = None,
    callback: Callback | None = None,
    every: Count = 100,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Run:
    """Trains a declared game by the first way that fits it.

    Arguments:
        game: the game.
        data: samples, `[n, dim]`; those that the game was declared with if absent, where it keeps
            them, and none where the goal is an energy.
        key: random key of the run.
        steps: of the training; as many as the way usually takes if absent.
        way: the name of another way that fits, see `print(plan(game))`.
        model: a model of one's own in place of the way's.
        learning_rate: the peak of its cosine decay; that of the way if absent.
        batch_size: samples or particles in a step.
        validation: held-out samples; the average that fits them best is kept.
        callback: called with a `Progress` at each record.
        every: steps from record to record.
        checkpoints: where to save the run as it goes.
        resume: continue from the latest of `checkpoints`.

    Returns:
        The run: its `solution`, to be sampled, certified and compared, its `history`, and its last
        state, from which another run may go on.

    Raises:
        ValueError: if no way fits the game, or not the one that is named; it says what is lacked.
        NonFiniteError: if a term of the loss is not finite; it names the step and the term.

    Example:

        game = MFG(Integrator(sigma=0.5), Relativistic(4.0), 20 * SinkhornDivergence(target),
                   initial=Gaussian(jnp.zeros(2), 1.0))
        run = train(game, key=jax.random.key(0))
        x = run.solution.sample(1000, key=jax.random.key(1))
    """
    _check.a_key("train", key)
    if steps is not None:
        steps = count("train", "steps", steps, advice="pass steps=1000")
    planned = plan(game, data)
    held_out = None
    if validation is not None:
        held_out = jnp.asarray(check_samples(validation, name="validation"))
    chosen = planned.way(way)
    model_key, run_key, end_key = jax.random.split(key, 3)
    problem = Problem(game, planned.data, held_out)
    trainer = chosen.trainer(
        game, model, key=model_key, learning_rate=learning_rate, batch_size=int(batch_size)
    )
    settings = {"every": every, "callback": callback, "checkpoints": checkpoints, "resume": resume}
    steps = chosen.steps if steps is None else steps
    played = model or chosen.model(game, model_key)
    with at_points("train", game, played, dimension(problem)):
        found = run(trainer, problem, steps=steps, key=run_key, **settings)
    last = found.history.records[-1]
    said = trained(f"`{type(found.solution).__name__}` by {chosen.name}", last.step, last.loss)
    more = found.trainer.summary(problem, found.state)
    result = Result(said.status, f"{said.message} {more}".rstrip())
    played = found.trainer.game(problem, found.state) or game
    return found._replace(solution=solution(played, found.solution, key=end_key, result=result))
