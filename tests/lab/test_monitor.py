"""What is shown of a run: a bar that fits a narrow terminal, or plain lines for a long run."""

import io
import time

import pytest
from rich.console import Console

from mfgen.lab import _monitor
from mfgen.trainers import Progress, Trial

TERMS = {"DenoisingScoreMatching": 1.23456, "HJB": 0.0123456}


def progress(step, steps=3000, trial=None):
    return Progress(step, steps, TERMS, None, 1.0, 10.0, trial)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines(clock):
    """Plain lines, and what they have said so far."""
    out = io.StringIO()
    made = _monitor.Lines("tiny on moons", Console(file=out, width=80), clock=clock, patience=10.0)
    return made, lambda: out.getvalue().splitlines()


def test_a_run_of_a_few_seconds_is_silent(lines, clock):
    made, said = lines
    with made:
        made.stage("training")
        clock.now = 9.9
        made.record(progress(100))
        made.stage("kl")
    assert said() == []


def test_a_long_run_tells_of_its_stages_and_now_and_then_of_the_training(lines, clock):
    made, said = lines
    with made:
        made.stage("training")
        for seconds in range(0, 50, 5):
            clock.now = float(seconds)
            made.record(progress(10 * seconds))
        made.stage("kl")
    assert said() == [
        "tiny on moons: step 100/3000  DSM 1.23  HJB 0.0123  10 ms/step  0:00:29 left",
        "tiny on moons: step 300/3000  DSM 1.23  HJB 0.0123  10 ms/step  0:00:27 left",
        "tiny on moons: kl",
    ]


def test_several_trainings_are_told_as_one_with_the_weight_that_is_tried(lines, clock):
    made, said = lines
    with made:
        clock.now = 11.0
        made.record(progress(100, steps=1000, trial=Trial("HJB", 0.3, 2, 4)))
    assert said() == [
        "tiny on moons: step 2100/4000  HJB = 0.3  DSM 1.23  HJB 0.0123  10 ms/step  0:00:19 left"
    ]


def test_a_stage_that_goes_on_when_the_patience_ends_is_told_by_itself():
    out = io.StringIO()
    with _monitor.Lines("tiny", Console(file=out), patience=0.05) as made:
        made.stage("training")
        deadline = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue() == "tiny: training\n"


def seen(width, *, then=None):
    """The text of the bar on a terminal of some width, in training or at a stage after it."""
    bar = _monitor.Bar("tiny on moons", Console(file=io.StringIO(), width=width))
    bar.stage("training")
    bar.record(progress(1200))
    if then:
        bar.stage(then)
    paper = Console(file=io.StringIO(), width=width)
    paper.print(bar.view)
    return paper.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_narrow_terminal_shows_bar_count_elapsed_and_left(width):
    (line,) = [line for line in seen(width) if line]
    assert len(line) <= width
    for part in ("━━", "1200/3000", "0:00:00", "0:00:18 left", "training"):
        assert part in line
    assert ("HJB 0.0123" in line) == (width >= 80)
    assert ("10 ms/step" in line) == (width >= 140)


def test_a_stage_after_the_training_has_no_count():
    (line,) = [line for line in seen(80, then="log_likelihood") if line]
    assert "log_likelihood" in line
    assert "3000" not in line
    assert "left" not in line


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_has_a_bar(terminal):
    out = io.StringIO()
    with _monitor.shown("tiny on moons", Console(file=out, force_terminal=terminal)) as watcher:
        watcher.stage("training")
        watcher.record(progress(1200))
    assert ("1200/3000" in out.getvalue()) == terminal
    assert out.getvalue().startswith("tiny on moons") == terminal
