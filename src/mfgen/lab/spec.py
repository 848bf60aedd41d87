"""An experiment as data: what is trained on what, how, and how it is judged.

    experiment = data + game + model + sum of weighted objectives + training + evaluation

Each part is a frozen struct; parts of several kinds carry a `type` (`{ type = "vp", ... }`). Fields
that may be left out have a default, or are chosen by the dimension of the data (`resolve`): these
rules are part of the experiment's meaning, so a run records the numbers they gave.

Reading and writing is in `mfgen.lab.toml`, the way from a specification to objects in
`mfgen.lab.build`. Nothing here imports JAX.
"""

from typing import Annotated, Literal

from msgspec import Meta

from mfgen.lab import spec_flow, spec_particles
from mfgen.lab.catalogue import FILES, SPLIT, TOYS, DataName, MetricName
from mfgen.lab.limits import (
    SHA256,
    Count,
    Depth,
    Fraction,
    Frequencies,
    Index,
    Name,
    NonNegative,
    Positive,
    Seed,
    Several,
    Width,
)
from mfgen.lab.spec_checks import check_energy, check_movement, check_particles
from mfgen.lab.spec_flow import ActionMatching as ActionMatching
from mfgen.lab.spec_flow import Anisotropic as Anisotropic
from mfgen.lab.spec_flow import ControlModel as ControlModel
from mfgen.lab.spec_flow import EnergyGame as EnergyGame
from mfgen.lab.spec_flow import EntropicPairs as EntropicPairs
from mfgen.lab.spec_flow import ExactPairs as ExactPairs
from mfgen.lab.spec_flow import FlowGame as FlowGame
from mfgen.lab.spec_flow import FlowMatching as FlowMatching
from mfgen.lab.spec_flow import IndependentPairs as IndependentPairs
from mfgen.lab.spec_flow import Interpolant as Interpolant
from mfgen.lab.spec_flow import JacobianPenalty as JacobianPenalty
from mfgen.lab.spec_flow import NoCost as NoCost
from mfgen.lab.spec_flow import Obstacle as Obstacle
from mfgen.lab.spec_flow import OptimalPairs as OptimalPairs
from mfgen.lab.spec_flow import OTFlowModel as OTFlowModel
from mfgen.lab.spec_flow import PathHJB as PathHJB
from mfgen.lab.spec_flow import PathLikelihood as PathLikelihood
from mfgen.lab.spec_flow import Paths as Paths
from mfgen.lab.spec_flow import ReverseKL as ReverseKL
from mfgen.lab.spec_flow import Straight as Straight
from mfgen.lab.spec_flow import TransportCost as TransportCost
from mfgen.lab.spec_flow import Trigonometric as Trigonometric
from mfgen.lab.spec_parts import Absolute as Absolute
from mfgen.lab.spec_parts import Adaptive as Adaptive
from mfgen.lab.spec_parts import AnyPart as AnyPart
from mfgen.lab.spec_parts import ExactDivergence as ExactDivergence
from mfgen.lab.spec_parts import Huber as Huber
from mfgen.lab.spec_parts import HutchinsonDivergence as HutchinsonDivergence
from mfgen.lab.spec_parts import Import as Import
from mfgen.lab.spec_parts import Kind as Kind
from mfgen.lab.spec_parts import Kinetic as Kinetic
from mfgen.lab.spec_parts import Part as Part
from mfgen.lab.spec_parts import Penalty as Penalty
from mfgen.lab.spec_parts import Power as Power
from mfgen.lab.spec_parts import Relativistic as Relativistic
from mfgen.lab.spec_parts import RungeKutta as RungeKutta
from mfgen.lab.spec_parts import Squared as Squared
from mfgen.lab.spec_parts import replace as replace
from mfgen.lab.spec_terms import HJB as HJB
from mfgen.lab.spec_terms import Collocation as Collocation
from mfgen.lab.spec_terms import Denoising as Denoising
from mfgen.lab.spec_terms import Exact as Exact
from mfgen.lab.spec_terms import Flat as Flat
from mfgen.lab.spec_terms import Hutchinson as Hutchinson
from mfgen.lab.spec_terms import Implicit as Implicit
from mfgen.lab.spec_terms import ImportedObjective as ImportedObjective
from mfgen.lab.spec_terms import Law as Law
from mfgen.lab.spec_terms import Levels as Levels
from mfgen.lab.spec_terms import Likelihood as Likelihood
from mfgen.lab.spec_terms import LogUniform as LogUniform
from mfgen.lab.spec_terms import NoisedData as NoisedData
from mfgen.lab.spec_terms import RatioPower as RatioPower
from mfgen.lab.spec_terms import ScoreHJB as ScoreHJB
from mfgen.lab.spec_terms import Sliced as Sliced
from mfgen.lab.spec_terms import SpreadData as SpreadData
from mfgen.lab.spec_terms import UniformTime as UniformTime

_TABLE = ("columns", "array", "sha256", "test")
_OWNERS = {
    "dim": ("mixture20", "product", "double-well", "many-wells", "energy"),
    "variant": ("mixture20",),
    "split": SPLIT,
    "path": FILES,
    "validation": ("table", *TOYS),
    **dict.fromkeys(_TABLE, ("table",)),
}


class VP(Kind, frozen=True, tag="vp"):
    beta_min: Positive = 0.1
    beta_max: Positive = 20.0
    horizon: Positive = 1.0
    smallest_ratio: Positive = 0.03


class SubVP(Kind, frozen=True, tag="subvp"):
    beta_min: Positive = 0.1
    beta_max: Positive = 20.0
    horizon: Positive = 1.0
    smallest_ratio: Positive = 0.03


class VE(Kind, frozen=True, tag="ve"):
    smallest_ratio: Positive = 0.03
    largest_ratio: Positive = 10.0
    horizon: Positive = 1.0


class Integrator(Kind, frozen=True, tag="integrator"):
    sigma: NonNegative = 0.0
    horizon: Positive = 1.0


Noising = VP | SubVP | VE | Import
Lagrangian = Kinetic | Power | Relativistic | Import


class ScoreGame(Kind, frozen=True, tag="score"):
    """A score-based game; `lagrangian` replaces its own cost of control."""

    noising: Noising = VP()
    lagrangian: Lagrangian | None = None


class ControlGame(Kind, frozen=True, tag="mfg"):
    """A game of given dynamics and cost from a standard normal law to the data.

    The terminal cost is the cross-entropy to the data, in standard units.
    """

    dynamics: Integrator | Import
    lagrangian: Lagrangian = Kinetic()


class KernelEstimate(Kind, frozen=True, tag="kernel-estimate"):
    """The kernel density estimate of the data, noised exactly; all is chosen on held-out data."""


class MixtureEstimate(Kind, frozen=True, tag="mixture-estimate"):
    """A Gaussian mixture fitted by EM, noised exactly; its size is chosen on held-out data."""

    components: Width | None = None


class ProximalEstimate(Kind, frozen=True, tag="proximal-estimate"):
    """A Gaussian near each sample, of a local covariance, noised exactly; for few samples."""


Estimate = KernelEstimate | MixtureEstimate | ProximalEstimate


class PotentialModel(Kind, frozen=True, tag="potential"):
    """A scalar network; `scale`, of its Fourier features, is chosen by the dimension if absent.

    `inner`: the scalar is an inner product of the point with a vector output; chosen if absent.
    `reference`: an estimate of the data that the network corrects, a Gaussian if absent.
    """

    width: Width = 128
    depth: Depth = 3
    frequencies: Frequencies = 16
    scale: NonNegative | None = None
    inner: bool | None = None
    reference: Estimate | None = None


class FieldModel(Kind, frozen=True, tag="field"):
    """A vector network; `scale` and `reference` as for the potential."""

    width: Width = 128
    depth: Depth = 3
    frequencies: Frequencies = 16
    scale: NonNegative | None = None
    reference: Estimate | None = None


class KernelModel(Kind, frozen=True, tag="kernel"):
    """A Gaussian mixture noised exactly; full covariances up to dimension 10 if not said."""

    components: Width = 20
    covariance: Literal["full", "diagonal"] | None = None


Model = (
    PotentialModel
    | FieldModel
    | KernelModel
    | KernelEstimate
    | MixtureEstimate
    | ProximalEstimate
    | spec_flow.Model
    | spec_particles.Model
    | Import
)


Objective = (
    Denoising
    | Implicit
    | Sliced
    | HJB
    | ScoreHJB
    | Likelihood
    | spec_flow.Objective
    | spec_particles.Objective
    | ImportedObjective
)
Game = ScoreGame | ControlGame | spec_flow.Game | spec_particles.Game


class Data(Part, frozen=True):
    """The samples: how many are drawn (toys), or at most used for training (the others).

    `dim` is for energy, where it must be given, and for mixture20, product and the wells; `variant`
    for other mixtures of the kind of mixture20; `split` for another division of real data into
    training, validation and test (0 if absent); `path` is a directory of idx files for mnist, a
    file for table. The other fields are for table: `columns` (names or positions), `array` (of an
    npz file that holds several), `sha256` of the raw content, and the fractions held out, a tenth
    each if absent. Of a toy, too, a fraction can be held out for `validation`; none if absent and
    not needed.
    """

    name: DataName
    samples: Several | None = None
    dim: Width | None = None
    variant: Index | None = None
    split: Index | None = None
    path: str | None = None
    columns: tuple[int | str, ...] | None = None
    array: str | None = None
    sha256: Annotated[str, Meta(pattern=SHA256)] | None = None
    validation: Fraction | None = None
    test: Fraction | None = None

    def __post_init__(self):
        for name, owners in _OWNERS.items():
            given = getattr(self, name) is not None
            if given and self.name not in owners:
                raise ValueError(
                    f"`data` got `{name}` with the data {self.name!r}, expected it with "
                    f"{' or '.join(owners)} alone: remove `{name}`."
                )
        if self.name in ("product", "many-wells") and (self.dim or 2) % 2:
            raise ValueError(
                f"`data` got dim = {self.dim} for {self.name}, expected an even number: it is made "
                "of targets in the plane."
            )
        if self.name in FILES and self.path is None:
            raise ValueError(
                f"`data` got {self.name!r} without a file, expected `path`: add "
                '`path = "..."` to the table [data] of a specification.'
            )
        if self.name == "energy" and self.dim is None:
            raise ValueError(
                "`data` got 'energy' without a dimension, expected `dim`: write a specification "
                'with `dim = ...` in [data] and `energy = { type = "import", path = "module:Name" '
                "}` in [game]."
            )
        if (self.validation or 0) + (self.test or 0) >= 1:
            raise ValueError(
                f"`data` got validation = {self.validation} and test = {self.test}, expected a sum "
                "below 1: hold out less."
            )


class Training(Part, frozen=True):
    """Settings of the optimiser and of what is written when, in steps."""

    steps: Index = 3000
    batch_size: Count = 256
    learning_rate: Positive | None = None
    average: Fraction = 0.999
    clip: Positive = 10.0
    every: Count = 100
    checkpoint_every: Count = 500
    early_stopping: bool | None = None


class EulerMaruyama(Kind, frozen=True, tag="euler-maruyama"):
    steps: Count = 200


class StochasticHeun(Kind, frozen=True, tag="heun"):
    steps: Count = 100


class ProbabilityFlow(Kind, frozen=True, tag="ode"):
    integrator: RungeKutta | Adaptive = RungeKutta()


class PredictorCorrector(Kind, frozen=True, tag="predictor-corrector"):
    steps: Count = 100
    corrections: Count = 1
    signal_to_noise: Positive = 0.16


class FlowLikelihood(Kind, frozen=True, tag="flow"):
    """Likelihoods by the probability flow; the divergence is chosen by the dimension if absent."""

    integrator: RungeKutta | Adaptive = RungeKutta()
    divergence: ExactDivergence | HutchinsonDivergence | None = None


class OneShot(Kind, frozen=True, tag="one-shot"):
    """Likelihoods by one evaluation of the value function, for models that are exact densities."""


Sampler = EulerMaruyama | StochasticHeun | ProbabilityFlow | PredictorCorrector


class Evaluation(Part, frozen=True):
    """How the trained model is judged, on `samples` of it and at `points` of the data.

    `metrics` names the measures wanted, if absent all and a certificate; without `figures` nothing
    is kept to draw from. `against`: log-densities are compared with those of the data, or with
    those at the end of the game, where the data still carry the smallest noise (toys with known
    noised laws); the first includes what that noise blurs, the second is the error of the model.
    """

    samples: Annotated[int, Meta(ge=10, le=2**31 - 1)] = 2000
    sampler: Sampler = StochasticHeun()
    points: Several = 2000
    likelihood: FlowLikelihood | OneShot = FlowLikelihood()
    metrics: tuple[MetricName, ...] | None = None
    against: Literal["data", "end"] = "data"
    figures: bool = True


class Experiment(Part, frozen=True):
    """A whole experiment; `seed` fixes the draw of toy data, the weights, batches and noise.

    Without terms of an objective the game says itself what particles go down.
    """

    name: Name
    data: Data
    seed: Seed = 0
    game: Game = ScoreGame()
    model: Model = PotentialModel()
    objective: tuple[Objective, ...] = (Denoising(),)
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    def __post_init__(self):
        check_energy(self.data, self.game, self.objective)
        check_particles(self.game, self.model, self.objective)
        check_movement(self.game, self.model, self.training.steps)
        count = len(selecting(self.objective))
        if count > 1:
            raise ValueError(
                f"`objective` got `select` in {count} terms, expected it in one: give the others "
                "a `weight`."
            )
        held_out = self.training.early_stopping is not False and self.data.validation != 0
        if count and not held_out:
            raise ValueError(
                "`objective` got `select` with early_stopping = false or validation = 0, expected "
                "validation data and the best parameters on them: remove those settings, or give "
                "a `weight`."
            )


def selecting(objective: tuple[Objective, ...]) -> tuple[HJB | ScoreHJB, ...]:
    """The terms whose weight is to be chosen by validation."""
    terms = (term for term in objective if isinstance(term, (HJB, ScoreHJB)))
    return tuple(term for term in terms if term.select is not None)


def fields_of(name: DataName) -> list[str]:
    """The fields of [data] that apply to a data set."""
    fields = [field for field in Data.__struct_fields__ if name in _OWNERS.get(field, (name,))]
    needed = {"name": "name", "path": "path (needed)"}
    return [needed.get(field, field) for field in fields]
