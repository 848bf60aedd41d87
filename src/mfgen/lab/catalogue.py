"""What the laboratory knows by name: data sets and measures, in words.

The names are those of specifications, of `mfgen list` and of reports. Nothing here imports JAX, so
that lists and errors come at once; the objects behind the names are made in `mfgen.lab.build`.
"""

from typing import Literal, NamedTuple

DataName = Literal[
    "gaussians8",
    "mixture20",
    "checkerboard",
    "moons",
    "rings",
    "pinwheel",
    "swissroll",
    "spiral",
    "product",
    "double-well",
    "many-wells",
    "digits",
    "iris",
    "wine",
    "diabetes",
    "breast-cancer",
    "mnist",
    "table",
    "breast-cancer-posterior",
    "energy",
]

MetricName = Literal[
    "kl",
    "log_likelihood",
    "one_shot_error",
    "one_shot_gap",
    "score_error",
    "hjb_residual",
    "energy_distance",
    "mmd",
    "sliced_w2",
    "w2",
    "c2st",
    "memorisation",
    "transport_cost",
    "path_residual",
    "inverse_error",
    "effective_samples",
    "normaliser",
    "normaliser_error",
]


class DataInfo(NamedTuple):
    """A data set in words.

    Attributes:
        kind: where it comes from; of an energy there are no samples.
        dim: its dimension; `None` if the file or the user says.
        summary: what it is.
        rows: its training samples where they are few, `None` where there are plenty or the file
            says.
    """

    kind: Literal["toy", "embedded", "file", "energy"]
    dim: int | None
    summary: str
    rows: int | None = None


class MetricInfo(NamedTuple):
    """A measure in words: title, unit, whether smaller is better, what it says, what it needs.

    `needs` is the exact truth (toys), held-out data (real data), a flow, a flow to an energy, or
    nothing of the kind. `ideal` is the value that is best where that is neither end.
    """

    title: str
    unit: str
    smaller_is_better: bool
    summary: str
    needs: Literal["truth", "held-out", "flow", "energy", "nothing"] = "nothing"
    ideal: float | None = None

    def badness(self, value: float) -> float:
        """Smaller for what is better."""
        if self.ideal is not None:
            return abs(value - self.ideal)
        return value if self.smaller_is_better else -value


DATA: dict[str, DataInfo] = {
    "gaussians8": DataInfo("toy", 2, "8 Gaussians on a circle; exact density"),
    "mixture20": DataInfo("toy", 2, "a random mixture of 20 Gaussians, any `dim`; exact density"),
    "checkerboard": DataInfo(
        "toy", 2, "uniform on the dark squares of a 4 x 4 board; exact density"
    ),
    "moons": DataInfo("toy", 2, "two interleaved half circles with noise; density by quadrature"),
    "rings": DataInfo("toy", 2, "concentric noisy circles; exact density"),
    "pinwheel": DataInfo("toy", 2, "five twisted Gaussian blades; exact density"),
    "swissroll": DataInfo("toy", 2, "a noisy spiral band; density by quadrature"),
    "spiral": DataInfo("toy", 2, "two noisy spiral arms; density by quadrature"),
    "product": DataInfo(
        "toy", 8, "checkerboards, rings, moons in pairs of turned axes, any even `dim`; exact"
    ),
    "double-well": DataInfo("toy", 2, "two wells of different depth, any `dim`; exact density"),
    "many-wells": DataInfo("toy", 4, "2^(d/2) wells, any even `dim`; exact density"),
    "digits": DataInfo("embedded", 64, "1,797 handwritten digits, 8 x 8 pixels, dequantised", 1437),
    "iris": DataInfo("embedded", 4, "150 iris flowers, 4 lengths", 120),
    "wine": DataInfo("embedded", 13, "178 wines, 13 chemical measurements", 142),
    "diabetes": DataInfo("embedded", 10, "442 patients, 10 measurements", 354),
    "breast-cancer": DataInfo("embedded", 30, "569 cell images, 30 measurements", 455),
    "mnist": DataInfo("file", 784, "70,000 digits, 28 x 28 pixels; the idx files in `path`"),
    "table": DataInfo("file", None, "a csv, npy or npz file at `path`"),
    "breast-cancer-posterior": DataInfo(
        "energy", 31, "logistic regression of breast-cancer, prior N(0, .25 I); no samples"
    ),
    "energy": DataInfo("energy", None, "an energy of your own, imported by [game]; no samples"),
}

METRICS: dict[str, MetricInfo] = {
    "kl": MetricInfo(
        "KL(truth || model)", "nats", True, "by the ODE; in one evaluation if exact", "truth"
    ),
    "log_likelihood": MetricInfo(
        "test log-likelihood",
        "nats",
        False,
        "held-out data, original units, by the ODE; in one evaluation if exact",
        "held-out",
    ),
    "one_shot_error": MetricInfo(
        "one-evaluation error",
        "nats",
        True,
        "mean |U-based log-density - exact log-density|",
        "truth",
    ),
    "one_shot_gap": MetricInfo(
        "one-evaluation gap", "nats", True, "mean |-U - ODE log-density| at the data end"
    ),
    "score_error": MetricInfo("score error", "nats", True, "Girsanov bound on KL", "truth"),
    "hjb_residual": MetricInfo(
        "HJB residual", "rms", True, "per unit of log noise ratio, over all levels"
    ),
    "energy_distance": MetricInfo("energy distance", "scaled units", True, "samples to data"),
    "mmd": MetricInfo("MMD", "", True, "maximum mean discrepancy, samples to data"),
    "sliced_w2": MetricInfo("sliced W2", "scaled units", True, "samples to data"),
    "w2": MetricInfo("W2", "scaled units", True, "exact assignment, samples to data", "truth"),
    "c2st": MetricInfo(
        "C2ST accuracy",
        "",
        True,
        "classifier two-sample test; 0.5 is indistinguishable",
        "held-out",
    ),
    "memorisation": MetricInfo(
        "memorisation ratio",
        "",
        False,
        "distance to the nearest training sample, over that of fresh data: 1 best, copies less",
        ideal=1.0,
    ),
    "transport_cost": MetricInfo(
        "transport cost", "scaled units", True, "what the control costs, E int L dt", "flow"
    ),
    "path_residual": MetricInfo(
        "HJB residual along paths", "scaled units", True, "E int |R| dt where particles go", "flow"
    ),
    "inverse_error": MetricInfo(
        "inverse error", "scaled units", True, "points carried to the reference and back", "flow"
    ),
    "effective_samples": MetricInfo(
        "effective samples", "", False, "the part that importance weights leave", "energy"
    ),
    "normaliser": MetricInfo(
        "log Z",
        "nats",
        False,
        "of the energy, by importance weights; from below on average",
        "energy",
    ),
    "normaliser_error": MetricInfo(
        "error of log Z", "nats", True, "by importance weights, exact log Z known", "energy"
    ),
}

TOYS = tuple(name for name, info in DATA.items() if info.kind == "toy")
SPLIT = (*(name for name, info in DATA.items() if info.kind == "embedded"), "table")
ENERGIES = tuple(name for name, info in DATA.items() if info.kind == "energy")
FILES = tuple(name for name, info in DATA.items() if info.kind == "file")

# Data whose samples are grey images, with their height and width.
IMAGES: dict[str, tuple[int, int]] = {"digits": (8, 8), "mnist": (28, 28)}
