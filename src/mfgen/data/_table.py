"""Tables of numbers from a file: csv, npy, npz or idx, each also verified by a digest on request.

Nothing in a file is executed: arrays of Python objects are refused (`allow_pickle=False`). Features
in which values repeat are dequantised by their resolution (see `mfgen.data._dequantise`), because a
model could otherwise put unbounded density on the repeated values.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mfgen import _check
from mfgen.data._arrays import arrays
from mfgen.data._checksum import read_content
from mfgen.data._dataset import Dataset, partition, standardised
from mfgen.data._dequantise import dequantise, resolution
from mfgen.data._idx import as_array
from mfgen.data._repeats import distinct, together
from mfgen.data._text import index_column, read_csv
from mfgen.data._validate import check_finite, check_numbers, check_samples
from mfgen.math._count import whole


def table(
    path: str | Path,
    *,
    columns: Sequence[str | int] | None = None,
    array: str | None = None,
    sha256: str | None = None,
    smooth: bool = True,
    fractions: tuple[float, float] = (0.1, 0.1),
    seed: int = 0,
) -> Dataset:
    """Return the data set of a table in a file.

    Arguments:
        path: a `.csv`, `.npy` or `.npz` file, or idx images of any size, whose pixels are the
            features; `.csv.gz` and so on too.
        columns: which features to keep, by name or position; all if None.
        array: which array of a `.npz` file that holds several.
        sha256: the digest that the raw (uncompressed) content must have; None to skip the check.
        smooth: dequantise features in which values repeat.
        fractions: of the validation and test parts.
        seed: of the dequantisation and of the split.

    Rows that repeat are kept in one part, unless values come again by chance, as counts do.

    Raises:
        ValueError: for anything but a matrix of finite, varying numbers, and for a file that is
            damaged or has another digest.
    """
    samples, names = read_table(path, array=array, sha256=sha256)
    if columns is None and _suffix(path) == ".csv":
        _refuse_index(path, names, samples)
    chosen = _chosen(path, names, columns)
    names = tuple(names[i] for i in chosen)
    samples = check_samples(samples[:, chosen], name=str(path), standardised_later=True)
    width = resolution(samples) if smooth else np.zeros(samples.shape[1])
    # Noise makes copies look different: equal rows are found before.
    groups = together(samples) if smooth else distinct(samples)
    samples = dequantise(samples, width, rng=np.random.default_rng(seed))
    parts = [samples[part] for part in partition(len(samples), fractions, seed=seed, groups=groups)]
    return standardised(_stem(path), parts, width=width, columns=names)


def read_table(
    path: str | Path, *, array: str | None = None, sha256: str | None = None
) -> tuple[Float[np.ndarray, "n dim"], tuple[str, ...]]:
    """Return a table as it stands in the file, `[n, dim]`, and the names of its features.

    Raises:
        ValueError: if the file holds no matrix of numbers.
    """
    content = read_content(path, sha256=sha256)
    if _suffix(path) == ".csv":
        samples, names = read_csv(path, content)
    else:
        samples, names = check_numbers(_array(path, content, array), name=str(path)), ()
    if samples.ndim != 2:
        raise ValueError(
            f"`table` got an array of shape {samples.shape} in `{path}`, expected [n, dim]: load "
            "[times, n, dim] with `snapshots`, or save one slice of the array."
        )
    return samples, names or tuple(f"x{i}" for i in range(samples.shape[1]))


def snapshots(
    path: str | Path, *, array: str | None = None, sha256: str | None = None
) -> Float[np.ndarray, "times n dim"]:
    """Return samples observed at several times, `[times, n, dim]`, from a `.npy` or `.npz` file.

    They come in original units and float64: one scaling must serve all times.

    Raises:
        ValueError: if the file holds no such array of finite numbers.
    """
    content = read_content(path, sha256=sha256)
    samples = check_numbers(_array(path, content, array), name=str(path))
    if samples.ndim != 3:
        raise ValueError(
            f"`snapshots` got an array of shape {samples.shape} in `{path}`, expected "
            "[times, n, dim]: load a matrix with `table`."
        )
    return check_finite(samples, name=str(path)).astype(np.float64)


def _suffix(path: str | Path) -> str:
    path = Path(path)
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _stem(path: str | Path) -> str:
    return Path(path).name.split(".")[0]


def _array(path: str | Path, content: bytes, name: str | None) -> np.ndarray:
    if content[:2] == b"\0\0":
        images = as_array(path, content)
        return images.reshape(len(images), -1) if images.ndim > 2 else images
    if _suffix(path) not in (".npy", ".npz"):
        raise ValueError(
            f"`{path}` is no .csv, .npy or .npz file: save the table as one of these, or as idx."
        )
    held = arrays(path, content)
    if name is None and len(held) == 1:
        return next(iter(held.values()))
    if not held:
        raise ValueError(
            f"`{path}` holds no arrays, expected one: save some with numpy.savez, or name another "
            "file."
        )
    if name is None or name not in held:
        example = next(iter(held), "x")
        raise ValueError(
            f"`{path}` holds the arrays {_check.listed(held)}, expected one or a choice: pass one "
            f"of these names as `array`, not {_check.shortened(repr(name))} (in a specification "
            f'`array = "{example}"` in [data]).'
        )
    return held[name]


def _refuse_index(path: str | Path, names: tuple[str, ...], samples: np.ndarray) -> None:
    column = index_column(names, samples)
    if column is not None:
        raise ValueError(
            f"`table` got column {column} of `{path}`, {names[column]!r}, that numbers the rows, "
            "expected features: it is an index; drop it (`to_csv(index=False)`), or name the "
            "features to keep as `columns`."
        )


def _chosen(
    path: str | Path, names: tuple[str, ...], columns: Sequence[str | int] | None
) -> list[int]:
    chosen: list[int] = []
    for column in range(len(names)) if columns is None else columns:
        position = names.index(column) if names.count(column) == 1 else whole(column)
        if position is None or not 0 <= position < len(names):
            raise ValueError(
                f"`table` got column {_check.shortened(repr(column))} for `{path}`, expected one "
                f"of {_check.listed(names)} or a position below {len(names)}: pass a name or a "
                "position."
            )
        chosen.append(position)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"`table` got columns {_check.listed(columns or ())} for `{path}`, expected at least "
            "one and none twice: name the features to keep, each once."
        )
    return chosen
