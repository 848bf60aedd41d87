"""The games with exact answers by name, in words.

Nothing here imports JAX until an oracle is built.
"""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mfgen.oracles._base import Oracle


class OracleInfo(NamedTuple):
    """An oracle in words, and where it is made.

    Attributes:
        summary: what it is.
        module, function: of the builder, which takes the dimension.
    """

    summary: str
    module: str
    function: str


ORACLES: dict[str, OracleInfo] = {
    "oracle-translation": OracleInfo(
        "a plane wave: everyone moves the same way, for any cost of speed and any noise",
        "mfgen.oracles._translation",
        "translation",
    ),
    "oracle-hopf-lax": OracleInfo(
        "a parabola as terminal cost without noise, with the kinetic energy: in closed form",
        "mfgen.oracles._hopf_lax",
        "hopf_lax",
    ),
    "oracle-hopf-lax-power": OracleInfo(
        "a parabola as terminal cost without noise, with |v|^3 / 3 or another cost of speed",
        "mfgen.oracles._hopf_lax",
        "hopf_lax_computed",
    ),
    "oracle-kink": OracleInfo(
        "the terminal cost -|x| without noise: the value has a kink, the population parts",
        "mfgen.oracles._splitting",
        "kink",
    ),
    "oracle-hopf-cole": OracleInfo(
        "a score-based model of a mixture of two normal laws, whose score is exact",
        "mfgen.oracles._score",
        "hopf_cole",
    ),
    "oracle-linear-quadratic": OracleInfo(
        "linear-quadratic control with coupled coordinates and fewer controls than coordinates",
        "mfgen.oracles._control",
        "linear_quadratic",
    ),
    "oracle-terminal-divergence": OracleInfo(
        "a normalizing flow with kinetic energy and a Kullback-Leibler terminal cost",
        "mfgen.oracles._flow",
        "terminal_divergence",
    ),
    "oracle-discounted-flow": OracleInfo(
        "the Wasserstein gradient flow of a parabola as a discounted game",
        "mfgen.oracles._descent",
        "discounted_flow",
    ),
    "oracle-gaussian-bridge": OracleInfo(
        "the Schrödinger bridge between two normal laws, with its multiplier as terminal cost",
        "mfgen.oracles._bridge",
        "gaussian_bridge",
    ),
    "oracle-logarithmic-coupling": OracleInfo(
        "a crowd that pays for the logarithm of its density, in a bowl: it rests",
        "mfgen.oracles._crowd",
        "logarithmic_coupling",
    ),
    "oracle-wasserstein-proximal": OracleInfo(
        "the regularised Wasserstein proximal of -log pi, for a mixture pi of two normal laws",
        "mfgen.oracles._proximal",
        "wasserstein_proximal_kernel",
    ),
    "oracle-cost-identity": OracleInfo(
        "a score-based model of a normal law, started from N(0, 1) a little too early",
        "mfgen.oracles._score",
        "cost_identity",
    ),
}


def build(name: str, dim: int = 1) -> "Oracle":
    """The oracle of that name in that dimension.

    Raises:
        ValueError: an unknown name, or a dimension below one.
    """
    if name not in ORACLES:
        raise ValueError(f"`build` got the oracle {name!r}, expected one of {', '.join(ORACLES)}.")
    info = ORACLES[name]
    return getattr(import_module(info.module), info.function)(dim)
