"""Recipes of gradient flows in words: what goes down, its first variation, how particles move."""

Formulas = tuple[tuple[str, str], ...]

_KL = (
    ("functional F", "KL(rho || pi),   pi the law of the data, known up to a constant"),
    ("dF/drho", "log rho - log pi + 1"),
)
_GAME = "discounted, I = F / e: its density follows the flow as e -> 0; below with e = .1"


def _flow(functional: Formulas, particles: str, estimate: str) -> Formulas:
    return (
        *functional,
        ("gradient flow", "drho/dt = div(rho grad dF/drho),   so that F never rises"),
        ("particles", particles),
        ("F on the way", estimate),
        ("as a game", _GAME),
    )


_SMOOTHED = "E[log (k * rho) - log pi],   k a normal density: below KL, the constant that of pi"

PARTICLES: dict[str, tuple[str, Formulas]] = {
    "langevin": (
        "Langevin diffusion of particles to a known density: the gradient flow of KL, with noise",
        _flow(_KL, "dX = grad log pi dt + sqrt 2 dW", _SMOOTHED),
    ),
    "svgd": (
        "Stein variational gradient descent: KL goes down in the ball of a kernel's space",
        _flow(
            _KL,
            "dX/dt = E_y[k(X, y) grad log pi(y) + grad_y k(X, y)],   y ~ rho, k Gaussian",
            _SMOOTHED,
        ),
    ),
    "gradient-flow": (
        "the gradient flow of KL by particles without noise, their density smoothed (blobs)",
        _flow(
            _KL,
            "dX/dt = grad log pi - (grad k * rho) / (k * rho) - grad k * (rho / (k * rho))",
            _SMOOTHED,
        ),
    ),
    "mmd-flow": (
        "the gradient flow of the maximum mean discrepancy to samples",
        _flow(
            (
                (
                    "functional F",
                    "MMD^2(rho, pi) / 2,   pi the samples, k(z) = -|z|",
                ),
                ("dF/drho", "w(x) = E k(x - X) - E k(x - Y),   X ~ rho, Y ~ pi"),
            ),
            "dX/dt = -grad w(X + noise z),   z ~ N(0, I)",
            "the unbiased estimate, without pairs of a point with itself",
        ),
    ),
    "generative-particles": (
        "particles down the slope of a critic: the Lipschitz-regularised KL to samples",
        _flow(
            (
                ("functional F", "sup over Lip(g) <= L of { E_rho g - log E_pi e^g }"),
                ("dF/drho", "g, the best critic"),
            ),
            "dX/dt = -grad g(X),   no faster than L; g trained a few steps before each",
            "the dual at the critic of the time: a lower bound",
        ),
    ),
    "discounted-flow": (
        "the gradient flow of KL to a known density as a discounted game, by a network",
        (
            ("dynamics", "dX = v dt,   rho(0) = N(0, spread^2 I)"),
            ("Lagrangian L", "|v|^2 / 2"),
            ("interaction I", "KL(rho || pi) / e,   costs at time t counting e^(-t / e)"),
            ("terminal cost M", "KL(rho || pi)"),
            ("Hamiltonian H", "|p|^2 / 2,   v* = -grad U"),
            ("HJB equation", "-dU/dt + U / e + |grad U|^2 / 2 = (log rho - log pi + 1) / e"),
            ("as e -> 0", "U -> log rho - log pi + 1:   the gradient flow of KL"),
            (
                "loss",
                "E int e^(-s / e) (|v|^2 / 2 + v.grad V - div v) ds / e from everywhere along the "
                "paths, V = -log pi, + .1 (E |e R| + E |U(T) - dM/drho|),   R the HJB residual",
            ),
        ),
    ),
    "jko": (
        "a normalizing flow by JKO steps: KL to N(0, I) goes down from the data, block by block",
        (
            ("functional F", "KL(rho || N(0, I)),   rho_0 the law of the data"),
            ("step", "rho_(k+1) = argmin F(rho) + W2^2(rho, rho_k) / (2 h)"),
            ("as a game", "dX = v dt on [0, 1],   L = |v|^2 / (2 h),   M = F"),
            ("Hamiltonian H", "h |p|^2 / 2,   v* = -h grad U"),
            (
                "loss",
                "E [-log N(x(1); 0, I) - log |det|] + E int L dt + E int |R| dt,   R the HJB "
                "residual, one block after the other",
            ),
            ("as h -> 0", "drho/dt = div(rho x) + lap rho:   the Ornstein-Uhlenbeck flow"),
        ),
    ),
    "w1w2-flow": (
        "a W1 + W2 proximal flow: kinetic energy, and a critic that compares its end with samples",
        (
            ("dynamics", "dX = v dt,   rho(0) = N(0, spread^2 I), sampled forward"),
            ("Lagrangian L", "|v|^2 / 2"),
            ("interaction I", "0"),
            (
                "terminal cost M",
                "weight D(rho(T) || data),   D = sup over Lip(g) <= L of "
                "{ E_rho g - log E_data e^g }",
            ),
            ("dM/drho", "weight g,   g the best critic"),
            ("Hamiltonian H", "|p|^2 / 2,   v* = -grad U"),
            (
                "loss",
                "weight E g(x(T)) + E int L dt + .1 E int |-dU/dt + H(t,x,grad U)| dt + "
                ".1 E |grad U - weight grad g|^2 at T,   the critic trained in turn",
            ),
        ),
    ),
}
