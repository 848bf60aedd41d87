"""What the plain values of a specification may be: ranges of numbers, patterns of text.

Whole numbers are bounded by what 32 bits hold, and sizes of networks by what is sensible: larger
ones would not reach the device as they are, or end in an error that says nothing.
"""

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Index = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Several = Annotated[int, Meta(ge=2, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Width = Annotated[int, Meta(ge=1, le=65_536)]
Depth = Annotated[int, Meta(ge=1, le=1000)]
Frequencies = Annotated[int, Meta(ge=0, le=65_536)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z"
IMPORT_PATH = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z"
SHA256 = r"^[0-9a-fA-F]{64}\Z"

Name = Annotated[str, Meta(pattern=NAME)]
ImportPath = Annotated[str, Meta(pattern=IMPORT_PATH)]
