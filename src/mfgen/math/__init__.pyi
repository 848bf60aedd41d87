"""Derivatives, lattices and other mathematics that the rest stands on."""

from mfgen.math._autodiff import divergence as divergence
from mfgen.math._autodiff import jet as jet
from mfgen.math._autodiff import laplacian as laplacian
from mfgen.math._lattice import Lattice as Lattice
