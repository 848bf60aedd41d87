"""The declaration of a mean-field game, its domains and its labels."""

from mfgen.games._game import MFG as MFG
from mfgen.games._labels import OfPoints as OfPoints
from mfgen.games._labels import WithLabels as WithLabels
from mfgen.games._labels import with_labels as with_labels
from mfgen.math._axes import Box as Box
from mfgen.math._axes import Torus as Torus
from mfgen.math._space import AbstractDomain as AbstractDomain
