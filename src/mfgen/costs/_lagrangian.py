"""Lagrangians: the cost rate of a control, and the optimal control that follows from it.

    L(t, x, v), convex in v;     v*(t, x, q) = argmax_v { q.v - L(t, x, v) }

The Hamiltonian H(t, x, p) = -p.a + L*(t, x, -g p) and the optimal control come from `argmax` at
q = -g p; nobody writes them down. A new Lagrangian is one method, `__call__`: the argmax is then
computed and differentiated implicitly (`mfgen.math._legendre`). A closed form is an override which
the tests compare with the computed one.

Reference: B. J. Zhang, M. A. Katsoulakis, "A mean-field games laboratory for generative modeling"
(2023), arXiv 2304.13534, section 2.
"""

from abc import abstractmethod

import equinox as eqx

from mfgen._types import Control, Scalar, State, Time
from mfgen.math._legendre import maximiser


class AbstractLagrangian(eqx.Module):
    """The cost rate L(t, x, v) of playing the control v at the place x and time t.

    To add one:

    - give `__call__(t, x, v)`, convex and differentiable in v, and either growing faster than
      linearly or finite on a bounded set only (return `inf` or `nan` outside);
    - where a closed form is known, override `argmax(t, x, q)`. In more than some tens of dimensions
      this is needed for speed: the default forms a Hessian in v.
    """

    @abstractmethod
    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        """L(t, x, v), a cost per unit of time."""

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        """argmax_v { q.v - L(t, x, v) }, shape `[control]`.

        Arguments:
            t, x: time and place.
            q: the slope, shape `[control]`; -g p for the costate p.

        Raises:
            RuntimeError: if no maximum is found; under `jax.jit` when the compiled program runs.
        """
        v, found = maximiser(lambda v: self(t, x, v), q)
        return eqx.error_if(v, ~found, _unattained(type(self).__name__))

    @property
    def of_points(self) -> "AbstractLagrangian":
        """The cost of points without their labels."""
        return self

    def mobility(self, t: Time) -> Scalar | None:
        """The factor m(t) of argmax(q) = m q, where it has this form at all places, else `None`.

        The divergence of the drift is then div a - g^2 m lap U, without any Jacobian.
        """
        return None

    def advice(self) -> str:
        """Where L is infinite and how to stay away, for errors; empty if it is finite."""
        return ""


def _unattained(name: str) -> str:
    return (
        f"`{name}.argmax` found no maximum of q.v - L(t, x, v) over v: write L convex and "
        "differentiable in v and growing faster than linearly (add a multiple of v @ v), or "
        "override `argmax` with a closed form."
    )
