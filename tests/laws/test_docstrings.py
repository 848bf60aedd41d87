"""The examples in the docstrings of what is public run as they stand, at small sizes.

Names that an example takes as given stand for the same things in all of them: `points` and `data`
are samples, `target` and `start` laws, `game` and `model` those of the row in `GIVEN`.
"""

import inspect
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import mfgen

SPACES = [getattr(mfgen, name) for name in mfgen.__all__]
SPACES = [space for space in SPACES if inspect.ismodule(space)]
PUBLIC = {name: getattr(space, name) for space in SPACES for name in space.__all__}
# Of two things of one name the one that users call.
PUBLIC |= {name: getattr(mfgen, name) for name in mfgen.__all__}
PUBLIC |= {"Hutchinson": mfgen.simulate.Hutchinson}

KEY = jax.random.key(0)
POINTS = mfgen.densities.moons().sample(64, key=KEY)
LABELS = jnp.arange(64) % 10
NORMAL = mfgen.Gaussian(jnp.zeros(2), 1.0)
COSTLY = (
    "check",
    "plan",
    "log_prob",
    "score",
    "generative_particles",
    "fit",
    "run",
    "train",
    "solve",
    "sample",
    "sample_given",
    "correct",
    "certify",
    "descend",
    "potential_density",
)


def _examples():
    found = {}
    for space in SPACES:
        for name in space.__all__:
            text = inspect.getdoc(getattr(space, name)) or ""
            if "\nExample:\n" in text:
                block = text.split("\nExample:\n")[1]
                code = re.match(r"\n((?:    .*\n?|\n)+)", block)
                assert code, f"the example of {name} is no code"
                marks = (
                    [pytest.mark.slow] if re.search(rf"\b({'|'.join(COSTLY)})\(", code[1]) else []
                )
                row = pytest.param(name, inspect.cleandoc(code[1]), id=name, marks=marks)
                found.setdefault(id(getattr(space, name)), row)
    return list(found.values())


def _scores():
    game = mfgen.score_based(mfgen.VP(), mfgen.Empirical(POINTS))
    return {"game": game, "model": _small(game), "truth": mfgen.densities.moons()}


def _small(game):
    return mfgen.models.score_potential(game, width=8, depth=1, frequencies=4, key=KEY)


def _labelled():
    law = mfgen.densities.LabelledPoints(
        POINTS, mfgen.densities.one_hot(LABELS, 10), unlabelled=0.2
    )
    game = mfgen.score_based(mfgen.VP(), law)
    return {"game": game, "model": _small(game)}


def _with_labels():
    start = mfgen.densities.Labelled(NORMAL, mfgen.densities.one_hot(LABELS, 10))
    cost = mfgen.Linear(lambda x: x @ x)
    game = mfgen.MFG(mfgen.Integrator(0.5), mfgen.Kinetic(), cost, initial=start)
    game = mfgen.games.with_labels(game)
    return {"y": mfgen.densities.one_hot(LABELS, 10), "model": _control(game)}


def _control(game):
    return mfgen.models.ot_flow_potential(game, width=8, key=KEY)


def _noisy():
    game = mfgen.MFG(mfgen.Integrator(0.5), mfgen.Kinetic(), mfgen.KL(NORMAL), initial=NORMAL)
    cost = mfgen.Linear(lambda x: 0.5 * x @ x)
    game = eqx.tree_at(lambda game: game.terminal, game, cost)
    solution = mfgen.solve(game, mfgen.solvers.Riccati())
    return {"game": game, "model": _control(game), "solution": solution}


def _on(domain):
    law = mfgen.densities.Uniform(domain)
    return lambda: {"start": law, "angles": law, "cost": mfgen.Linear(lambda x: jnp.cos(x[0]))}


def _on_a_line():
    line = mfgen.Gaussian([0.5], 0.5)
    game = mfgen.MFG(
        mfgen.Integrator(0.5), mfgen.Kinetic(), mfgen.Linear(lambda x: x @ x), initial=line
    )
    return {"target": mfgen.Gaussian([0.0], 1.0), "start": line, "game": game}


def _of_particles():
    return {"start": POINTS}


def _losses():
    denoising = mfgen.losses.DenoisingScoreMatching()
    return _scores() | {"loss": denoising, "other": denoising + 0.1 * mfgen.losses.HJB()}


GIVEN = {
    "MFG": lambda: {"u": lambda t, x: x @ x, "rho": lambda t: NORMAL, "t": 0.5, "x": POINTS[0]},
    "Box": _on(mfgen.games.Box(0.0, 1.0)),
    "Torus": _on(mfgen.games.Torus(2 * jnp.pi)),
    "with_labels": _with_labels,
    "sample_given": _labelled,
    "GameCost": _noisy,
    "Augmented": _noisy,
    "solution": lambda: {name: part for name, part in _noisy().items() if name != "solution"},
    "trajectories": _noisy,
    "plan": _noisy,
    "Plan": _noisy,
    "Riccati": lambda: _noisy() | {"x": POINTS[0]},
    "solve": _on_a_line,
    "HopfCole": _on_a_line,
    "gradient_flow_game": _on_a_line,
    "generative_particles": _of_particles,
    "descend": _of_particles,
    "run": _losses,
}


@pytest.mark.parametrize(("name", "code"), _examples())
def test_an_example_runs(name, code):
    given = PUBLIC | {"mfgen": mfgen, "jax": jax, "jnp": jnp, "key": KEY}
    given |= {"points": POINTS, "data": POINTS, "x": POINTS, "angles": NORMAL, "classes": LABELS}
    given |= {"target": NORMAL, "start": NORMAL, "cost": mfgen.Linear(lambda x: x @ x)}
    given |= GIVEN.get(name, _scores)()
    small = re.sub(r"steps=\d{3,}", "steps=6", code)
    small = re.sub(r"(?<!\.)\b((?:mfgen\.)?train\(game,)", r"\1 steps=6,", small)
    small = re.sub(r"(?<!points=)\b\d{3,4}\b(?!\.)", "32", small)
    exec(compile(small, name, "exec"), given)
