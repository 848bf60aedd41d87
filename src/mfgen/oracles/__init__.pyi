"""Games with exact answers, against which solvers, models and measures are tested."""

from mfgen.oracles._base import Oracle as Oracle
from mfgen.oracles._bridge import gaussian_bridge as gaussian_bridge
from mfgen.oracles._control import LinearDynamics as LinearDynamics
from mfgen.oracles._control import QuadraticCost as QuadraticCost
from mfgen.oracles._control import linear_quadratic as linear_quadratic
from mfgen.oracles._crowd import logarithmic_coupling as logarithmic_coupling
from mfgen.oracles._descent import discounted_flow as discounted_flow
from mfgen.oracles._flow import terminal_divergence as terminal_divergence
from mfgen.oracles._gradient_flow import decay_rate as decay_rate
from mfgen.oracles._gradient_flow import entropic_flow as entropic_flow
from mfgen.oracles._gradient_flow import quadratic_flow as quadratic_flow
from mfgen.oracles._hopf_lax import hopf_lax as hopf_lax
from mfgen.oracles._hopf_lax import hopf_lax_computed as hopf_lax_computed
from mfgen.oracles._porous import barenblatt as barenblatt
from mfgen.oracles._porous import barenblatt_on as barenblatt_on
from mfgen.oracles._proximal import wasserstein_proximal_kernel as wasserstein_proximal_kernel
from mfgen.oracles._score import cost_identity as cost_identity
from mfgen.oracles._score import hopf_cole as hopf_cole
from mfgen.oracles._splitting import kink as kink
from mfgen.oracles._translation import translation as translation
from mfgen.oracles._underdamped import underdamped_bridge as underdamped_bridge
