"""Games on circles and between walls, solved: by grids against Fourier series, and trained."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm

import mfgen as mg

TURN = 2 * np.pi
CIRCLE, ROOM = mg.games.Torus(TURN), mg.games.Box(0.0, 1.0)
SIGMA, HILL, END = 0.7, 0.8, 0.5
MODES = np.arange(-20, 21)


def ring(**parts) -> mg.MFG:
    """L = |v|^2 / 2 + .8 cos x, M = E .5 sin X, sigma = .7 on the circle."""
    return mg.MFG(
        mg.Integrator(sigma=SIGMA),
        mg.costs.WithPotential(mg.Kinetic(), lambda t, x: HILL * jnp.cos(x[0])),
        mg.Linear(lambda x: END * jnp.sin(x[0])),
        initial=mg.Gaussian(jnp.array([0.3]), 0.5),
        domain=CIRCLE,
        **parts,
    )


def hopf_cole(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U(0) and its slope: U = -sigma^2 log phi, dt phi + sigma^2/2 phi'' = V phi / sigma^2."""
    nodes = np.arange(256) * TURN / 256
    end = np.fft.fft(np.exp(-END * np.sin(nodes) / SIGMA**2))[MODES] / 256
    shift = np.eye(len(MODES), k=1) + np.eye(len(MODES), k=-1)
    change = np.diag(-0.5 * SIGMA**2 * MODES**2) - HILL / (2 * SIGMA**2) * shift
    phi = expm(change) @ end
    waves = np.exp(1j * np.outer(x, MODES))
    value, slope = (waves @ phi).real, (waves @ (1j * MODES * phi)).real
    return -(SIGMA**2) * np.log(value), -(SIGMA**2) * slope / value


@pytest.fixture(scope="module")
def solved():
    return mg.solve(ring(), mg.Grid(points=120, steps=40))


def test_a_grid_on_the_circle_is_the_linear_form(solved):
    x = np.linspace(-1.0, 8.0, 31)
    value = [float(solved.value(0.0, jnp.array([each]))) for each in x]
    slope = [float(solved.costate(0.0, jnp.array([each]))[0]) for each in x]
    exact, steep = hopf_cole(x)
    np.testing.assert_allclose(value, exact, atol=4e-4)
    np.testing.assert_allclose(slope, steep, atol=4e-4)


@pytest.mark.slow
def test_its_certificate_holds_without_a_box(solved):
    found = mg.certify(solved, times=4, points=64, steps=8)
    assert found.holds, found.verdict
    assert "exploitability, at most" in found.checks


def test_heat_between_walls():
    """Mass is kept, and cosine modes fall like exp(-k^2 pi^2 sigma^2 t / 2)."""
    game = mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.Kinetic(),
        mg.Linear(lambda x: 0.0 * x[0]),
        initial=mg.densities.Folded(mg.Gaussian(jnp.array([0.3]), 0.05), ROOM),
        domain=ROOM,
    )
    solution = mg.solve(game, mg.Grid(points=100, steps=20))
    assert "walls" not in solution.result.message
    law, x = solution.density(1.0), solution.value.lattice.nodes()[:, 0]
    mass = np.asarray(law.mass, float)
    np.testing.assert_allclose(mass.sum(), 1.0, atol=1e-6)
    for k in (1, 2):
        exact = np.cos(0.3 * k * np.pi) * np.exp(-0.5 * 0.3 * (k * np.pi) ** 2)
        np.testing.assert_allclose(mass @ np.cos(k * np.pi * x), exact, atol=1e-4)


def test_a_circle_times_an_interval():
    """Each axis has its own end; where nothing couples them the value is a sum."""
    domain = CIRCLE * mg.games.Box(0.0, np.pi)
    game = mg.MFG(
        mg.Integrator(sigma=SIGMA),
        mg.costs.WithPotential(mg.Kinetic(), lambda t, x: HILL * jnp.cos(x[0])),
        mg.Linear(lambda x: END * jnp.sin(x[0])),
        initial=mg.densities.Uniform(domain),
        domain=domain,
    )
    solution = mg.solve(game, mg.Grid(points=(60, 10), steps=30))
    x = np.array([0.5, 3.0, 6.2])
    value = [float(solution.value(0.0, jnp.array([each, 1.0]))) for each in x]
    np.testing.assert_allclose(value, hopf_cole(x)[0], atol=3e-3)


@pytest.mark.parametrize(
    ("solver", "said"),
    [
        (mg.Grid((0.0, 5.0)), "expected the domain's own ends"),
        (mg.solvers.Riccati(), "`Riccati` got a game on circle"),
        (mg.solvers.HopfCole((0.0, TURN)), "`HopfCole` got a game on circle"),
    ],
)
def test_what_contradicts_the_domain_is_refused(solver, said):
    with pytest.raises(ValueError, match=said):
        mg.solve(ring(), solver)


def test_losses_that_go_straight_are_refused(key):
    game = mg.MFG(
        mg.Integrator(),
        mg.Kinetic(),
        mg.KL(mg.densities.Uniform(CIRCLE)),
        initial=mg.densities.Uniform(CIRCLE),
        domain=CIRCLE,
    )
    model, data = mg.models.control_field(game, key=key, width=4, depth=1), jnp.arange(8.0)[:, None]
    with pytest.raises(TypeError, match="`FlowMatching` for a game on circle"):
        mg.fit(game, model, mg.losses.FlowMatching(), data, steps=1, key=key)


@pytest.mark.slow
def test_own_cost_and_networks_agree_with_the_grid(solved, key):
    """The control of the trained game, in the mean square over the circle, beside the exact one."""
    game = ring()
    model = mg.models.ot_flow_potential(game, key=key, width=24)
    rate = optax.adam(optax.cosine_decay_schedule(1e-2, 600))
    loss = mg.GameCost(mg.simulate.StochasticHeun(16))
    model, _ = mg.fit(game, model, loss, steps=600, batch_size=256, key=key, optimiser=rate)
    x = np.linspace(0.0, TURN, 64, endpoint=False)
    exact = hopf_cole(x)[1]
    size = np.sqrt(np.mean(exact**2))
    found = jax.vmap(lambda x: model.costate(0.0, x))(jnp.asarray(x)[:, None])[:, 0]
    assert np.sqrt(np.mean((np.asarray(found) - exact) ** 2)) < 0.05 * size
    neural = mg.solve(game, mg.solvers.Neural(width=32, steps=1500), key=key)
    found = jax.vmap(lambda x: neural.costate(0.0, x))(jnp.asarray(x)[:, None])[:, 0]
    assert np.sqrt(np.mean((np.asarray(found) - exact) ** 2)) < 0.05 * size


@pytest.mark.slow
def test_angles_are_learned_on_the_torus():
    """Samples on the torus, with an energy distance by the shortest way below .005."""

    def angles(n, key):
        which, place = jax.random.split(key)
        means = jnp.array([[0.2, 3.0], [2.0, 6.1], [4.5, 1.0]])
        chosen = means[jax.random.randint(which, (n,), 0, 3)]
        return chosen + 0.35 * jax.random.normal(place, (n, 2))

    torus = mg.games.Torus((TURN, TURN))
    data = mg.Empirical(angles(1000, jax.random.key(5)))
    game = mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.Kinetic(),
        100 * mg.MMD(data, mg.functionals.DistanceKernel()),
        initial=mg.densities.Uniform(torus),
        domain=torus,
    )
    model = mg.models.ot_flow_potential(game, key=jax.random.key(0), width=64)
    rate = optax.adam(optax.cosine_decay_schedule(1e-2, 600))
    loss = mg.GameCost(mg.simulate.StochasticHeun(12))
    model, _ = mg.fit(
        game, model, loss, steps=600, batch_size=256, key=jax.random.key(1), optimiser=rate
    )
    samples = mg.sample(game, model, 4000, key=jax.random.key(2))
    assert samples.min() >= 0
    assert samples.max() <= np.float32(TURN)
    fresh = torus.fold(angles(4000, jax.random.key(77)))

    def apart(a, b):
        return jnp.mean(jnp.linalg.norm(torus.shortest(a[:, None] - b[None]), axis=-1))

    unbiased = len(fresh) / (len(fresh) - 1)
    own = apart(samples, samples) + apart(fresh, fresh)
    assert 2 * apart(samples, fresh) - own * unbiased < 0.005
