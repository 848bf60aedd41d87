"""Dynamics with matrices for gain and diffusion, and of the second order, against exact answers.

For dz = (A z + B v) dt + S dW, L = |v|^2/2 and M = E z.G z/2 the value is U = z.P z/2 + c with

    P^-1(t) = e^{A(t-T)} G^-1 e^{A^T(t-T)} + int_t^T e^{A(t-s)} B B^T e^{A^T(t-s)} ds,
    c(t) = int_t^T tr(S S^T P) / 2 ds,

the inverse of the Riccati equation P' = -A^T P - P A + P B B^T P.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from scipy.linalg import expm

import mfgen as mg
from mfgen.derive._costate import hjb_gradient
from mfgen.derive._verdict import Verdict
from mfgen.solvers._base import Status

FRICTION, SIGMA, PLACES = 0.7, 0.6, 2
A = np.kron([[0.0, 1.0], [0.0, -FRICTION]], np.eye(PLACES))
B = np.kron([[0.0], [1.0]], np.eye(PLACES))
END = np.diag([3.0, 3.0, 0.5, 0.5])
SKEW = np.array([[-0.3, 1.0, 0.0], [-1.0, -0.3, 0.4], [0.0, 0.0, 0.2]])
STEER = np.array([[1.0, 0.0], [0.3, 1.0], [0.0, 0.8]])
NOISE = np.array([[0.5, 0.0], [0.2, 0.3], [0.0, 0.0]])


def start(dim):
    return mg.Gaussian(np.linspace(-1.0, 1.0, dim), 0.2 * np.eye(dim) + 0.05)


def quadratic(dynamics, end):
    terminal = mg.Linear(lambda z: 0.5 * z @ jnp.asarray(end, z.dtype) @ z)
    return mg.MFG(dynamics, mg.Kinetic(), terminal, initial=start(len(end)))


def underdamped():
    return quadratic(mg.dynamics.Underdamped(SIGMA, FRICTION), END), A, B, SIGMA * B, END


def matrices():
    end = np.eye(3)
    return quadratic(mg.dynamics.ControlAffine(SKEW, STEER, NOISE), end), SKEW, STEER, NOISE, end


GAMES = {"underdamped": underdamped, "matrices": matrices}


def hessian(a, b, end, t, nodes=60):
    """P(t), by quadrature of the Gramian."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    s, w = t + 0.5 * (1 - t) * (x + 1), 0.5 * (1 - t) * w
    flows = [expm(a * (t - one)) @ b for one in s]
    gramian = sum(weight * flow @ flow.T for weight, flow in zip(w, flows, strict=True))
    back = expm(a * (t - 1.0))
    return np.linalg.inv(back @ np.linalg.inv(end) @ back.T + gramian)


@pytest.fixture(scope="module", params=GAMES)
def solved(request):
    """A solution in double precision, and A, B, the noise and the end."""
    with jax.enable_x64(True):
        game, *parts = GAMES[request.param]()
        return mg.solve(game, mg.solvers.Riccati()), parts


def test_riccati_is_the_gramian(x64, solved):
    solution, (a, b, noise, end) = solved
    assert solution.result.status is Status.CONVERGED
    z = jnp.linspace(0.4, -0.9, len(end))
    for t in (0.0, 0.35, 1.0):
        p = hessian(a, b, end, t)
        x, w = np.polynomial.legendre.leggauss(20)
        nodes = t + 0.5 * (1 - t) * (x + 1)
        rates = [np.trace(noise @ noise.T @ hessian(a, b, end, s)) for s in nodes]
        exact = 0.5 * z @ p @ z + 0.25 * (1 - t) * np.dot(w, rates)
        np.testing.assert_allclose(solution.value(t, z), exact, rtol=1e-6)
        np.testing.assert_allclose(solution.costate(t, z), p @ z, rtol=1e-6, atol=1e-8)


def test_the_equations_hold_at_the_solution_and_not_beside_it(x64, solved):
    solution, _ = solved
    game = solution.game
    x = solution.density(0.4).sample(6, key=jax.random.key(1))

    def residuals(u):
        hjb = lambda x: mg.hjb(game, u, None, 0.4, x)
        forward = lambda x: mg.fokker_planck(game, u, solution.density, 0.4, x)
        gradient = lambda x: hjb_gradient(game, jax.grad(u, 1), None, 0.4, x)
        return [jax.vmap(one)(x) for one in (hjb, forward, gradient)]

    for residual in residuals(solution.value):
        np.testing.assert_allclose(residual, 0.0, atol=2e-5)
    beside = lambda t, x: solution.value(t, x) + 0.1 * jnp.sum(x) ** 2
    assert all(np.abs(residual).max() > 0.02 for residual in residuals(beside))


def test_samplers_have_the_law_of_the_solution(x64, key, solved):
    solution, _ = solved
    game = solution.game
    mean, covariance = map(np.asarray, solution.density(1.0).moments())
    count = 20_000
    for sampler in (mg.simulate.EulerMaruyama(steps=100), mg.simulate.StochasticHeun(steps=20)):
        x = np.asarray(mg.sample(game, solution.value, count, key=key, method=sampler), float)
        error = 4 * np.sqrt(np.diag(covariance) / count) + 0.01
        assert np.all(np.abs(x.mean(0) - mean) < error)
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        assert np.all(np.abs(np.cov(x.T) - covariance) < (5 / np.sqrt(count) + 0.02) * scale)


def test_a_diagonal_of_one_size_is_a_number(x64):
    value = lambda t, x: jnp.sum(jnp.sin(x)) * (1 + t)
    x = jnp.array([0.3, -0.8])
    games = [
        mg.MFG(dynamics, mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=start(2))
        for dynamics in (
            mg.Integrator(0.4),
            mg.Integrator(0.4 * np.eye(2)),
            mg.dynamics.ControlAffine(sigma=0.4 * np.eye(2)),
            mg.dynamics.ControlAffine(gain=np.eye(2), sigma=lambda t: 0.4),
            mg.dynamics.ControlAffine(
                gain=np.eye(2), sigma=np.array([[0.24, 0.32], [-0.32, 0.24]])
            ),
        )
    ]
    found = [mg.hjb(game, value, None, 0.2, x) for game in games]
    np.testing.assert_allclose(found, found[0], rtol=1e-12)


def test_a_grid_agrees_where_noise_is_on_velocities_alone():
    law = mg.Gaussian(np.array([-0.5, 0.0]), np.diag([0.05, 0.05]))
    game = mg.MFG(
        mg.dynamics.Underdamped(0.5), mg.Kinetic(), mg.Linear(lambda z: 2 * z @ z), initial=law
    )
    grid = mg.solve(game, mg.Grid(((-2.5, 2.5), (-3.0, 3.0)), (120, 120), steps=80))
    exact = mg.solve(game, mg.solvers.Riccati())
    mean, covariance = map(np.asarray, exact.density(1.0).moments())
    found = grid.density(1.0).moments()
    np.testing.assert_allclose(found[0], mean, atol=0.03)
    np.testing.assert_allclose(found[1], covariance, atol=0.02)
    z = jnp.array([-0.4, 0.2])
    np.testing.assert_allclose(grid.costate(0.3, z), exact.costate(0.3, z), atol=0.06)


def test_a_grid_refuses_noise_across_the_axes():
    turned = np.array([[0.5, 0.0], [0.3, 0.4]])
    game = mg.MFG(mg.Integrator(turned), mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=start(2))
    with pytest.raises(ValueError, match="coordinates 0 and 1 together"):
        mg.solve(game, mg.Grid(((-4, 4), (-4, 4)), (40, 40)))
    with pytest.raises(ValueError, match="diffusion that is a matrix"):
        mg.solve(game, mg.solvers.HopfCole(((-4, 4), (-4, 4)), (40, 40)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mg.Integrator([0.5, 0.1]), r"sigma of shape \[2\]"),
        (lambda: mg.Integrator(-1.0), "finite number >= 0"),
        (lambda: mg.Integrator([[0.5, np.nan]]), "finite entries"),
        (lambda: mg.dynamics.ControlAffine(np.ones(3)), "square matrix"),
        (lambda: mg.dynamics.ControlAffine(sigma=np.ones((2, 2, 2))), "sigma of shape"),
        (lambda: mg.dynamics.Underdamped(friction=-1.0), "friction"),
        (lambda: mg.dynamics.Underdamped(np.eye(2)), "one number sigma"),
        (lambda: quadratic(mg.dynamics.Underdamped(), np.eye(3)), "2 blocks of equal size"),
        (lambda: quadratic(mg.Integrator(np.ones((2, 1))), np.eye(3)), r"diffusion\(t\)"),
        (
            lambda: quadratic(mg.dynamics.ControlAffine(gain=np.ones((1, 2))), np.eye(2)),
            r"gain\(t\)",
        ),
        (lambda: quadratic(mg.dynamics.ControlAffine(np.eye(2)), np.eye(3)), r"free\(t, x\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def lines(game):
    return {item.name: item for item in mg.check(game).items}


def test_what_noise_and_control_reach_is_told():
    end = np.eye(2)
    noise, control = "the noise is as declared", "the control reaches what the cost asks for"
    full = lines(quadratic(mg.Integrator(0.5), end))
    assert "parabolic" in full[noise].evidence
    assert "all 2 directions" in full[control].evidence
    second = lines(quadratic(mg.dynamics.Underdamped(0.5), end))
    assert "moves 1 of 2 directions and the drift takes it" in second[noise].evidence
    assert "together reach all 2" in second[control].evidence
    half = np.array([[1.0], [0.0]])
    still = lines(quadratic(mg.dynamics.ControlAffine(gain=half, sigma=half), end))
    assert "moves 1 of 2 directions, with the drift 1" in still[noise].evidence
    assert still[control].status is Verdict.FAILS
    assert "along x2 no control" in still[control].evidence
    first = mg.Linear(lambda x: x[0] ** 2)
    game = mg.MFG(mg.dynamics.ControlAffine(gain=half), mg.Kinetic(), first, initial=start(2))
    assert "depends on no other" in lines(game)[control].evidence


@pytest.mark.parametrize("name", GAMES)
def test_the_printed_equations_are_those_that_are_computed(x64, name):
    game, *_ = GAMES[name]()
    derived, at, t = mg.equations(game), np.linspace(0.3, -0.8, game.initial.dim), 0.3
    weights = range(1, len(at) + 1)
    u = sp.sin(sum(w * x for w, x in zip(weights, derived.x, strict=True))) * (1 + derived.t)
    value = lambda t, x: jnp.sin(x @ jnp.asarray(weights, float)) * (1 + t)
    printed = derived.residual(u).subs({derived.t: t, **dict(zip(derived.x, at, strict=True))})
    np.testing.assert_allclose(float(printed), mg.hjb(game, value, None, t, jnp.asarray(at)))


def test_matrices_are_printed():
    game = quadratic(mg.dynamics.Underdamped(0.5, 0.7), np.eye(2))
    page = str(mg.equations(game))
    assert "dX = [(x2, -0.7 x2) + [[0], [1]] v] dt + [[0], [1/2]] dW" in page
    assert "- ∂²U/∂x2²/8 = 0" in page
    assert r"\partial_{x_2}^2 \rho" in mg.equations(game).latex()
