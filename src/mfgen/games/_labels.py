"""Labels in a game: coordinates of the state that do not move, and that no control is paid for.

    z = (x, y),      dX = [a(t, X) + g(t) v] dt + sigma(t) dW,   dY = 0,   L(t, z, v) = L(t, x, v)

The gain of the joint state is [[g I], [0]], its diffusion [[sigma I], [0]], so that
H(t, z, p) = H(t, x, dU/dx): the HJB equation has no derivative along y, and there is one for each
label, with U(t, x, y) its value function. The derivative of the flow of z is block triangular with
an identity, and its determinant is that of x -> X(T) at fixed y. The reference is pi(x) times the
labels' own law, so

    KL(rho(T) || reference) = E_y KL(rho(T, . | y) || pi),

and a flow of labelled points is a flow for each label, solved by one model. In a game that ends at
data the reference is its first density. There the interaction and the terminal cost are of rows
(x, y), and may well depend on labels: populations that repel each other, an `MMD` to labelled data.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp

from mfgen._types import Control, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._base import AbstractDensity
from mfgen.densities._labels import Labelled, LabelledPoints, Rows
from mfgen.dynamics._dynamics import AbstractDynamics
from mfgen.functionals._functional import AbstractFunctional, evaluable
from mfgen.games._game import MFG
from mfgen.math._count import count, plain
from mfgen.math._linear_map import LinearMap, matrix


class WithLabels(AbstractDynamics):
    """Dynamics of points beside labels that do not move: a state (x, y) of `dim + labels`.

    Arguments:
        dynamics: how the points move.
        dim: coordinates of a point.
        labels: coordinates of its label, the last ones of the state.

    Raises:
        ValueError: for sizes that are no positive integers.
    """

    dynamics: AbstractDynamics
    dim: int = eqx.field(static=True, converter=plain)
    labels: int = eqx.field(static=True, converter=plain)

    def __init__(self, dynamics: AbstractDynamics, dim: int, labels: int):
        count("WithLabels", "dim", dim)
        count("WithLabels", "labels", labels)
        self.dynamics, self.dim, self.labels = dynamics, dim, labels

    @property
    def horizon(self) -> float:
        return self.dynamics.horizon

    @property
    def deterministic(self) -> bool:
        return self.dynamics.deterministic

    @property
    def fixed(self) -> int:
        return self.labels

    @property
    def of_points(self) -> AbstractDynamics:
        return self.dynamics.of_points

    def free(self, t: Time, x: State) -> State:
        return jnp.pad(self.dynamics.free(t, x[: self.dim]), (0, self.labels))

    def gain(self, t: Time) -> LinearMap:
        return self._of_points(self.dynamics.gain(t))

    def uniform_gain(self, t: Time) -> Scalar | None:
        return self.dynamics.uniform_gain(t)

    def diffusion(self, t: Time) -> LinearMap:
        sigma = self.dynamics.diffusion(t)
        return sigma if self.deterministic else self._of_points(sigma)

    def _of_points(self, of: LinearMap) -> LinearMap:
        return jnp.pad(matrix(of, self.dim), ((0, self.labels), (0, 0)))


class OfPoints(AbstractLagrangian):
    """A cost of points beside labels: L(t, (x, y), v) = L(t, x, v).

    Arguments:
        lagrangian: L of the point alone.
        labels: coordinates of the label, the last ones of the state.
    """

    lagrangian: AbstractLagrangian
    labels: int = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        count("OfPoints", "labels", self.labels)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return self.lagrangian(t, x[: -self.labels], v)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return self.lagrangian.argmax(t, x[: -self.labels], q)

    @property
    def of_points(self) -> AbstractLagrangian:
        return self.lagrangian.of_points

    def mobility(self, t: Time) -> Scalar | None:
        return self.lagrangian.mobility(t)

    def advice(self) -> str:
        return self.lagrangian.advice()


def with_labels(game: MFG) -> MFG:
    """The game of points in which their labels take part as coordinates at rest.

    Arguments:
        game: declared for points without labels; unchanged unless `initial` has labels, as
            `LabelledPoints` for a flow from data, or `Labelled` for a game that ends at data. Its
            terminal and interaction costs are of rows (x, y), such as an `MMD` to labelled samples;
            a flow's is of points, `KL(reference)`, and gets the labels.

    Raises:
        TypeError: if the terminal cost of a flow has no goal, which the labels are added to.

    Example:

        cost = 50 * MMD(Empirical(labelled(points, y)))
        game = with_labels(MFG(Integrator(0.5), Kinetic(), cost, initial=Labelled(start, y)))
        threes = sample_given(game, model, one_hot(3, 10), 100, key=key)
    """
    data = game.initial
    if not isinstance(data, LabelledPoints | Labelled) or game.dynamics.fixed:
        return game
    labels = data.labels.shape[1]
    terminal = game.terminal
    if game.data_at == "start":
        terminal = _with_labelled_target(terminal, data.labels)
    return dataclasses.replace(
        game,
        dynamics=WithLabels(game.dynamics, data.dim - labels, labels),
        lagrangian=OfPoints(game.lagrangian, labels),
        terminal=terminal,
    )


def at_label(game: MFG, label: State) -> MFG:
    """The game whose reference has one label, `[labels]`: its samples are those given the label.

    Raises:
        TypeError: for a game without labels.
        ValueError: for a label of another shape, or not finite.
    """
    law = _law(game)
    wanted = law.labels.shape[1:]
    if label.shape != wanted:
        raise ValueError(
            f"`at_label` got a label of shape {label.shape}, expected {wanted}: pass one row of "
            "the labels, such as `one_hot(3, 10)`."
        )
    fixed = Labelled(law.law, label[None].astype(law.labels.dtype))
    if game.data_at == "end":
        return dataclasses.replace(game, initial=fixed)
    terminal = eqx.tree_at(lambda cost: cost.goal, game.terminal, fixed)
    return eqx.tree_at(lambda game: game.terminal, game, terminal)


def labels_of(game: MFG) -> Rows:
    """The labels of a game's reference, `[n, labels]`."""
    return _law(game).labels


def _law(game: MFG) -> Labelled:
    """The reference of a game with labels."""
    law = game.initial if game.data_at == "end" else game.terminal.goal
    if isinstance(law, Labelled):
        return law
    raise TypeError(
        "`at_label` got a game whose points have no labels, expected a conditional one: declare "
        "it with `LabelledPoints(points, labels)` as its data, or, where it is not data that it "
        "starts from, `with_labels(MFG(..., initial=Labelled(law, labels)))`."
    )


def point_dim(data: AbstractDensity) -> int:
    """Coordinates of a point of the data, without its label."""
    return data.dim - data.labels.shape[1] if isinstance(data, LabelledPoints) else data.dim


def _with_labelled_target(terminal: AbstractFunctional, labels: Rows) -> AbstractFunctional:
    goal = terminal.goal
    if goal is None:
        raise TypeError(
            f"`with_labels` got the terminal cost `{type(terminal).__name__}`, expected one that "
            "names a density, such as `KL(reference)`: the labels are added to that law."
        )
    goal = evaluable("with_labels", "goal", goal)
    return eqx.tree_at(lambda cost: cost.goal, terminal, Labelled(goal, labels))
