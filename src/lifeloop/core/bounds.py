"""Numbers within bounds, for settings: a value outside is refused when the brief is read, and its key named.

Each is a type for a field of a frozen msgspec Struct. Infinity is outside of all of them.
"""

import sys
from typing import Annotated

from msgspec import Meta

_LARGEST = sys.float_info.max

Whole = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Several = Annotated[int, Meta(ge=2)]
NotNegative = Annotated[float, Meta(ge=0.0, le=_LARGEST)]
Positive = Annotated[float, Meta(gt=0.0, le=_LARGEST)]
Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
"""Never all."""
UpToOne = Annotated[float, Meta(ge=0.0, le=1.0)]
Part = Annotated[float, Meta(gt=0.0, le=1.0)]
"""Never nothing."""
Parts = Annotated[tuple[Part, ...], Meta(min_length=1)]
