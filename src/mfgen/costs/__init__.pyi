"""Lagrangians L(t, x, v): costs of the control, of the place and of the score."""

from mfgen.costs._cost import Anisotropic as Anisotropic
from mfgen.costs._cost import Kinetic as Kinetic
from mfgen.costs._cost import NoCost as NoCost
from mfgen.costs._cost import Power as Power
from mfgen.costs._cost import Relativistic as Relativistic
from mfgen.costs._cost import ScoreLagrangian as ScoreLagrangian
from mfgen.costs._cost import WithPotential as WithPotential
from mfgen.costs._lagrangian import AbstractLagrangian as AbstractLagrangian
