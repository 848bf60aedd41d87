"""Trainable models: potentials, control fields, critics, and estimates by kernels."""

from mfgen.models._base import AbstractModel as AbstractModel
from mfgen.models._base import AbstractPotential as AbstractPotential
from mfgen.models._base import AbstractVectorField as AbstractVectorField
from mfgen.models._base import Potential as Potential
from mfgen.models._base import VectorField as VectorField
from mfgen.models._base import score as score
from mfgen.models._base import velocity as velocity
from mfgen.models._control import ControlField as ControlField
from mfgen.models._control import control_field as control_field
from mfgen.models._convex import InputConvex as InputConvex
from mfgen.models._convex import input_convex as input_convex
from mfgen.models._critic import LipschitzCritic as LipschitzCritic
from mfgen.models._critic import lipschitz_critic as lipschitz_critic
from mfgen.models._estimate import kernel_estimate as kernel_estimate
from mfgen.models._estimate import mixture_estimate as mixture_estimate
from mfgen.models._guided import Guided as Guided
from mfgen.models._kernel import KernelPotential as KernelPotential
from mfgen.models._kernel import kernel_potential as kernel_potential
from mfgen.models._potential import OTFlowPotential as OTFlowPotential
from mfgen.models._potential import ot_flow_potential as ot_flow_potential
from mfgen.models._proximal_kernel import proximal_kernel as proximal_kernel
from mfgen.models._score import ScoreField as ScoreField
from mfgen.models._score import ScorePotential as ScorePotential
from mfgen.models._score import score_field as score_field
from mfgen.models._score import score_potential as score_potential
from mfgen.models._smoothed import SmoothedPotential as SmoothedPotential
