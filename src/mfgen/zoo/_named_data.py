"""A data set by its name, and what is to be known of it: how many samples, which part, which file.

Names are those of `mfgen.zoo._catalogue`; what does not belong to a name is refused at once.
"""

import dataclasses
from dataclasses import dataclass

from mfgen._check import between
from mfgen.zoo._catalogue import FILES, SPLIT, TOYS, DataName

_MOST = 10**9  # samples
_OWNERS = {
    "dim": ("mixture20", "product", "double-well", "many-wells", "energy", "density"),
    "variant": ("mixture20",),
    "split": SPLIT,
    "path": FILES,
    "validation": ("table", *TOYS, "density"),
    "density": ("density",),
    **dict.fromkeys(("columns", "array", "sha256", "test"), ("table",)),
}


@dataclass(frozen=True)
class Data:
    """The samples: how many are drawn (toys), or at most used for training (the others).

    `dim` is for energy, where it must be given, and for mixture20, product and the wells; `variant`
    for other mixtures of the kind of mixture20; `split` for another division of real data into
    training, validation and test (0 if absent); `path` is a directory of idx files for mnist, a
    file for table; `density` a density of your own. The other fields are for table: `columns`
    (names or positions), `array` (of an npz file that holds several), `sha256` of the raw content,
    and the fractions held out, a tenth each if absent. Of a toy, too, a fraction can be held out
    for `validation`; none if absent and not needed.
    """

    name: DataName
    samples: int | None = None
    dim: int | None = None
    variant: int | None = None
    split: int | None = None
    path: str | None = None
    columns: tuple[int | str, ...] | None = None
    array: str | None = None
    sha256: str | None = None
    validation: float | None = None
    test: float | None = None
    density: dict | str | None = None

    def __post_init__(self):
        for name, owners in _OWNERS.items():
            if getattr(self, name) is not None and self.name not in owners:
                raise ValueError(
                    f"`data` got `{name}` with the data {self.name!r}, expected it with "
                    f"{' or '.join(owners)} alone: remove `{name}`."
                )
        between("data", 2, _MOST, samples=self.samples)
        between("data", 1, 65_536, dim=self.dim)
        between("data", 0, 2**31 - 1, variant=self.variant, split=self.split)
        between("data", 0, 0.999, validation=self.validation, test=self.test)
        if self.name in ("product", "many-wells") and (self.dim or 2) % 2:
            raise ValueError(
                f"`data` got dim = {self.dim} for {self.name}, expected an even number: it is made "
                "of targets in the plane."
            )
        needs = {**dict.fromkeys(FILES, "path"), "energy": "dim", "density": "density"}
        needed = needs.get(self.name)
        if needed and getattr(self, needed) is None:
            raise ValueError(
                f"`data` got {self.name!r} without its {needed}, expected `{needed}`: add "
                f"`{needed} = ...` to the table [data] of a specification."
            )
        if (self.validation or 0) + (self.test or 0) >= 1:
            raise ValueError(
                f"`data` got validation = {self.validation} and test = {self.test}, expected a sum "
                "below 1: hold out less."
            )


def fields_of(name: str) -> list[str]:
    """The fields of [data] that apply to a data set."""
    fields = [f.name for f in dataclasses.fields(Data) if name in _OWNERS.get(f.name, (name,))]
    needed = {"path": "path (needed)", "density": "density (needed)"}
    return [needed.get(field, field) for field in fields]
