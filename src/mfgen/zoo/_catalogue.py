"""The data sets by name, in words.

Nothing here imports JAX, so that lists come at once; the samples are made in `mfgen.zoo._samples`.
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
    "density",
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
    "energy": DataInfo("energy", None, "an energy that [game] names, in `dim`; no samples"),
    "density": DataInfo("toy", None, "a density that `density` names, such as one of your own"),
}

TOYS = tuple(name for name, info in DATA.items() if info.kind == "toy")
SPLIT = (*(name for name, info in DATA.items() if info.kind == "embedded"), "table")
ENERGIES = tuple(name for name, info in DATA.items() if info.kind == "energy")
FILES = tuple(name for name, info in DATA.items() if info.kind == "file")

# Data whose samples are grey images, with their height and width.
IMAGES: dict[str, tuple[int, int]] = {"digits": (8, 8), "mnist": (28, 28)}
