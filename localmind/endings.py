"""Words for an answer that is done and yet was cut short: one place for the terminal app, the command line and exports.

By its finish reason, as `events.Done` has it. An answer that was stopped or failed says so by its state instead,
and what to do about any of them is said by whoever knows the reader's next key or command.
"""

from collections.abc import Mapping
from types import MappingProxyType

CUT: Mapping[str | None, str] = MappingProxyType(
    {
        "length": "cut off at the length limit",
        "repetition": "ended here, since it was repeating itself",
    }
)
