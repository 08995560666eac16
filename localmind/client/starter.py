"""Which model somebody gets where the one that was recommended cannot be had: the daemon says it, every client alike.

The starter comes from the package index, so it is there where no hub can be reached. This decides when it is its turn;
fetching it, and showing how far it is, is the client's.
"""

from collections.abc import Mapping
from typing import Any

from localmind.clean import clean_line
from localmind.errors import DownloadFailed, LocalmindError, ModelNotFound


def instead_of(name: str, problem: LocalmindError | None, recommended: Mapping[str, Any]) -> tuple[str, str] | None:
    """The starter's name and what to say of it, when `name` cannot be had; None where nothing else would help.

    `recommended` is the answer of /models/recommend. A download that somebody cancelled is no reason.
    """
    starter = str((recommended.get("starter") or {}).get("name") or "")
    if not isinstance(problem, DownloadFailed | ModelNotFound) or not starter or starter == name:
        return None
    return starter, (
        f"{name} cannot be had now: {clean_line(problem.message)}\n"
        f"Instead the small starter {starter} from the package index; it knows little by itself."
    )
