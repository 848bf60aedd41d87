"""What learns or moves, in one loop: gradients, critics in turn, particles, rising weights."""

from mfgen.solvers._particle import Particles as Particles
from mfgen.trainers._adversarial import CriticFit as CriticFit
from mfgen.trainers._adversarial import GradientPenalty as GradientPenalty
from mfgen.trainers._adversarial import fit_critic as fit_critic
from mfgen.trainers._alternating import Alternating as Alternating
from mfgen.trainers._alternating import Ascent as Ascent
from mfgen.trainers._alternating import adversarial_optimiser as adversarial_optimiser
from mfgen.trainers._augmented import Augmented as Augmented
from mfgen.trainers._failure import NonFiniteError as NonFiniteError
from mfgen.trainers._failure import StoppedError as StoppedError
from mfgen.trainers._gradient import Gradient as Gradient
from mfgen.trainers._history import History as History
from mfgen.trainers._history import Progress as Progress
from mfgen.trainers._history import Trial as Trial
from mfgen.trainers._loop import fit as fit
from mfgen.trainers._run import Run as Run
from mfgen.trainers._run import run as run
from mfgen.trainers._state import CheckpointError as CheckpointError
from mfgen.trainers._state import Checkpoints as Checkpoints
from mfgen.trainers._trainer import AbstractTrainer as AbstractTrainer
from mfgen.trainers._trainer import Problem as Problem
from mfgen.zoo._minimising import MinimisingMovement as MinimisingMovement
