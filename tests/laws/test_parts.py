"""Parts of the library are refused where they stand in for parts of another kind."""

import dataclasses

import jaxtyping
import numpy as np
import pytest
from tests.tables_of_training import LOSSES, NOISY, TRAINERS

import mfgen as mg
from mfgen import _check
from mfgen.simulate._integrator import AbstractStep

PARTS = {name: row.loss for name, row in LOSSES.items()}
PARTS |= {
    name: lambda row=row: row.trainer(row.game())
    for name, row in TRAINERS.items()
    if name != "Particles"  # whose constructor takes other arguments than it has fields
}
PARTS |= {
    "OwnPaths": lambda: mg.losses.OwnPaths(NOISY),
    "MetropolisAdjusted": mg.simulate.MetropolisAdjusted,
    "PredictorCorrector": mg.simulate.PredictorCorrector,
    "ProbabilityFlow": mg.simulate.ProbabilityFlow,
    "FlowLikelihood": mg.simulate.FlowLikelihood,
    "FlowProposal": mg.simulate.FlowProposal,
    "RungeKutta4": mg.simulate.RungeKutta4,
    "Ascent": mg.trainers.Ascent,
}


@pytest.fixture(autouse=True)
def _unchecked():
    """Without the checks of tests, which are not there for those who use the library."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_another_kind_is_refused_when_it_is_given(name):
    part = PARTS[name]()
    made = type(part).__name__
    for field, *_ in _check._declared(type(part)):
        for wrong in ("no part", mg.Kinetic):
            with pytest.raises(TypeError, match=rf"^`\w+` got .*{field}.*, expected .*: pass "):
                dataclasses.replace(part, **{field: wrong})
    for field, choices in _check._choices(type(part)).items():
        with pytest.raises(ValueError, match=f"^`{made}` got {field} = 'else', expected one of"):
            dataclasses.replace(part, **{field: "else"})
        assert dataclasses.replace(part, **{field: choices[0]})


def test_kinds_are_known_of_fields_that_are_parts_choices_and_truth_values():
    kinds = {name: kinds for name, kinds, _ in _check._declared(mg.GameCost)}
    assert kinds == {
        "method": (AbstractStep, type(None)),
        "anytime": (bool, np.bool_),
    }
    assert set(_check._choices(mg.GameCost)) == {"crowd", "starts", "density"}


def test_an_array_is_no_weight():
    for weight in (np.ones(2), np.ones(())[None]):
        with pytest.raises(ValueError, match=r"^`Combination` got a weight of shape \[[12]\]"):
            weight * mg.GameCost()
    assert (np.float64(2.0) * mg.GameCost()).parts == ((2.0, mg.GameCost()),)
