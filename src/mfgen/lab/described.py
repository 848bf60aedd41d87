"""Recipes in words: what each is, and its game and loss as formulas."""

from typing import NamedTuple

from mfgen.lab.described_flows import FLOWS
from mfgen.lab.described_particles import PARTICLES

NOISINGS = {"vp": "VP", "ve": "VE", "subvp": "sub-VP"}
_FORWARD = {
    "vp": "dY = -(beta/2) Y ds + sqrt(beta) dW,   beta(s) linear from beta_min to beta_max",
    "ve": "dY = g dW,   noise(s) geometric from smallest_ratio to largest_ratio",
    "subvp": "dY = -(beta/2) Y ds + sqrt(beta (1 - e^(-2B))) dW,   B the integral of beta",
}


class RecipeInfo(NamedTuple):
    """A recipe in words: one sentence, and its game as lines `name: formula`."""

    summary: str
    formulas: tuple[tuple[str, str], ...]


def _game(noising: str) -> tuple[tuple[str, str], ...]:
    return (
        ("noising", f"{_FORWARD[noising]}   (from data to noise, s from 0 to S)"),
        (
            "dynamics",
            "dX = [f(t,X) + sigma v] dt + sigma dW,   t = S - s,   f minus the drift of Y",
        ),
        ("Lagrangian L", "|v|^2 / 2 - div f"),
        ("interaction I", "0"),
        ("terminal cost M", "cross-entropy -E log pi, pi the law of the data"),
        ("Hamiltonian H", "-f.p + sigma^2 |p|^2 / 2 + div f"),
        ("HJB equation", "-dU/dt + H(t,x,grad U) - (sigma^2/2) lap U = 0,   U(T) = -log pi"),
        (
            "solution",
            "U(t,x) = -log eta(S - t, x),   eta the density of Y;   v* = sigma grad log eta",
        ),
    )


def _describe() -> dict[str, RecipeInfo]:
    recipes = {}
    for noising, title in NOISINGS.items():
        recipes[f"score-{noising}"] = RecipeInfo(
            f"score-based model, {title} noising, a potential trained by denoising score matching",
            (*_game(noising), ("loss", "E |sigma grad U(y) - eps|^2 over all noise levels")),
        )
        recipes[f"score-{noising}-hjb"] = RecipeInfo(
            f"the same as score-{noising}, regularised by its Hamilton-Jacobi-Bellman equation",
            (
                *_game(noising),
                (
                    "loss",
                    "E |sigma grad U(y) - eps|^2 + weight E R^2,   R the HJB residual per unit "
                    "of log noise ratio",
                ),
            ),
        )
    for ending, weighted in (("", ""), ("-hjb", " + weight E R^2")):
        recipes[f"score-vp-corrected{ending}"] = RecipeInfo(
            "score-gmm corrected by a potential network, for data that are few"
            + (", regularised by the HJB equation" if ending else ""),
            (
                *_game("vp"),
                ("model", "U of score-gmm + a network, zero to begin with and at the noisy end"),
                ("loss", f"E |sigma grad U(y) - eps|^2{weighted}"),
            ),
        )
    recipes["score-kde"] = RecipeInfo(
        "the kernel density estimate of the data, noised exactly: solves the HJB equation",
        (
            *_game("vp"),
            ("model", "U = -log (1/n) sum_i N(x; alpha x_i, alpha^2 h^2 S + noise^2 I)"),
            ("loss", "none; bandwidth h and shape S (round or covariance) by cross-validation"),
        ),
    )
    recipes["score-gmm"] = RecipeInfo(
        "a Gaussian mixture fitted by EM, noised exactly: solves the HJB equation",
        (
            *_game("vp"),
            ("model", "U = -log sum_k w_k N(x; alpha m_k, alpha^2 C_k + noise^2 I)"),
            ("loss", "-E log rho, by EM; the number of components by held-out likelihood"),
        ),
    )
    recipes["score-proximal"] = RecipeInfo(
        "a Gaussian near each sample, of a local covariance: for few data, without copying them",
        (
            *_game("vp"),
            ("model", "U = -log (1/n) sum_j N(x; alpha m_j, alpha^2 C_j + noise^2 I)"),
            ("kernels", "m_j, C_j: mean and covariance about x_j, weights exp(-|x_i-x_j|^2/2b^2)"),
            ("loss", "-E log rho of held-out points, over the reach b and h^2 added to C_j"),
        ),
    )
    recipes["score-kernel"] = RecipeInfo(
        "a Gaussian mixture noised exactly: solves the HJB equation by construction",
        (
            *_game("vp"),
            ("model", "U = -log sum_k w_k N(x; alpha m_k, alpha^2 C_k + noise^2 I)"),
            ("loss", "-E log rho(T), maximum likelihood"),
        ),
    )
    return recipes | {name: RecipeInfo(*told) for name, told in (FLOWS | PARTICLES).items()}


RECIPES = _describe()
