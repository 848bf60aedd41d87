"""Flow recipes in words: what each is, and its game and loss as formulas."""

Formulas = tuple[tuple[str, str], ...]

_TERMINAL = "weight KL(rho(T) || N(0, I)): the likelihood, up to the entropy of the data"
_PRESCRIBED = "rho(T) = N(0, I) is prescribed"
_LOSS = "weight E[-log N(x(T); 0, I) - log |det|] + E int L dt"
_ALONG = " + 5 E int |-dU/dt + H(t,x,grad U)| dt along the particles' paths"


def _game(cost: str, hamiltonian: str, terminal: str = _TERMINAL) -> Formulas:
    return (
        ("dynamics", "dX = v dt,   rho(0) the data, sampled backward from N(0, I)"),
        ("Lagrangian L", cost),
        ("interaction I", "0"),
        ("terminal cost M", terminal),
        ("Hamiltonian H", hamiltonian),
    )


_KINETIC = _game("|v|^2 / 2", "|p|^2 / 2,   v* = -grad U")
_LINES = _game("|v|^2 / 2", "|p|^2 / 2,   v* = -grad U", _PRESCRIBED)

FLOWS: dict[str, tuple[str, Formulas]] = {
    "cnf": (
        "a plain continuous normalizing flow: any control, trained by likelihood alone",
        (
            *_game("0", "infinite unless p = 0: ill posed, many flows have one density"),
            ("loss", "E[-log N(x(T); 0, I) - log |det|]"),
        ),
    ),
    "ot-flow": (
        "OT-Flow: a potential flow with the cost of its transport and its HJB residual",
        (*_KINETIC, ("loss", _LOSS + _ALONG)),
    ),
    "potential-flow": (
        "the same as ot-flow without the HJB residual",
        (*_KINETIC, ("loss", _LOSS)),
    ),
    "rnode": (
        "RNODE: a control with kinetic cost and a penalty of its Jacobian",
        (
            *_KINETIC,
            ("loss", _LOSS + " + E int |Dv|_F^2 dt; the penalty is no Lagrangian, it has no HJB"),
        ),
    ),
    "wr-flow": (
        "a W_r proximal flow, r = 1.5",
        (*_game("|v|^r / r", "|p|^r' / r',   1/r + 1/r' = 1"), ("loss", _LOSS + _ALONG)),
    ),
    "relativistic-flow": (
        "a flow whose particles stay below the speed c = 4",
        (
            *_game("c^2 - c sqrt(c^2 - |v|^2)", "c sqrt(c^2 + |p|^2) - c^2"),
            ("loss", _LOSS + _ALONG),
        ),
    ),
    "anisotropic-flow": (
        "a flow for which all directions but the first cost four times as much",
        (
            *_game("v.A v / 2,   A = diag(1, 4, ..., 4)", "p.A^-1 p / 2,   v* = -A^-1 grad U"),
            ("loss", _LOSS + _ALONG),
        ),
    ),
    "obstacle-flow": (
        "a flow around a hill in the middle of the data",
        (
            *_game("|v|^2 / 2 + V(x),   V = 10 exp(-|x|^2 / (2 0.3^2))", "|p|^2 / 2 - V(x)"),
            ("loss", _LOSS + _ALONG),
        ),
    ),
    "flow-matching": (
        "flow matching: the velocity of straight lines between independent pairs",
        (*_LINES, ("loss", "E |v(t, (1 - t) x + t z) - (z - x)|^2,   z ~ N(0, I)")),
    ),
    "ot-flow-matching": (
        "flow matching along pairs of optimal transport within each batch",
        (*_LINES, ("loss", "E |v(t, (1 - t) x + t z) - (z - x)|^2,   (x, z) optimally paired")),
    ),
    "stochastic-interpolant": (
        "the velocity of a curved interpolant with latent noise",
        (
            *_LINES,
            ("loss", "E |v(t, x_t) - dx_t/dt|^2,   x_t = alpha(t) x + beta(t) z + gamma(t) eps"),
        ),
    ),
    "action-matching": (
        "a potential whose gradient moves the density of straight lines, by its action",
        (
            *_LINES,
            ("loss", "E[U(T) - U(0)] - int E[dU/dt - H(t, x, grad U)] dt, an upper bound"),
        ),
    ),
    "boltzmann": (
        "a Boltzmann generator: from a normal law to a density known by its energy, no data",
        (
            ("dynamics", "dX = v dt,   rho(0) = N(0, 1.5^2 I), sampled forward"),
            ("Lagrangian L", "|v|^2 / 2"),
            ("interaction I", "0"),
            ("terminal cost M", "weight KL(rho(T) || exp(-V) / Z)"),
            ("Hamiltonian H", "|p|^2 / 2,   v* = -grad U"),
            ("loss", "weight E[log rho(0) - log |det| + V(x(T))] + E int L dt" + _ALONG),
        ),
    ),
}
