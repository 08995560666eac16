"""Paths as clients send them."""

import os
from pathlib import Path

from localmind.errors import InvalidRequest


def absolute(path: str) -> Path:
    """The daemon has another working directory than its clients, so only absolute paths mean anything."""
    if not os.path.isabs(path):
        raise InvalidRequest(f"{path!r} is not an absolute path")
    return Path(os.path.normpath(path))
