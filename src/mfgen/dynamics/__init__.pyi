"""How particles move: dX = (free(t, X) + gain v) dt + diffusion dW, and the noisings."""

from mfgen.dynamics._affine import ControlAffine as ControlAffine
from mfgen.dynamics._affine import Underdamped as Underdamped
from mfgen.dynamics._dynamics import AbstractDynamics as AbstractDynamics
from mfgen.dynamics._dynamics import Integrator as Integrator
from mfgen.dynamics._forward import AbstractDiffusion as AbstractDiffusion
from mfgen.dynamics._forward import Diffusion as Diffusion
from mfgen.dynamics._forward import LinearNoising as LinearNoising
from mfgen.dynamics._noising import VE as VE
from mfgen.dynamics._noising import VP as VP
from mfgen.dynamics._noising import SubVP as SubVP
from mfgen.dynamics._noising import TimeReversal as TimeReversal
from mfgen.dynamics._noising_base import AbstractForward as AbstractForward
from mfgen.dynamics._noising_base import AbstractNoising as AbstractNoising
from mfgen.dynamics._schedule import Noising as Noising
