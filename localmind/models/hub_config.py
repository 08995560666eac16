"""Which model hub this machine asks, with which token, or that it asks none: the variables that people set already.

HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to Hugging Face's own tools, but are read at each pull. A token that
was made for huggingface.co goes there and nowhere else: whoever runs another hub sets LOCALMIND_HUB_TOKEN for it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HUB = "https://huggingface.co"
PASSED = (
    "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "LOCALMIND_HUB_TOKEN", "LOCALMIND_HUB_MIRRORS",
    "LOCALMIND_INDEX_URL", "LOCALMIND_WHEELS",
)  # fmt: skip
"""Variables of a command's own environment that count for the pull it asks for, although the daemon runs already."""

_YES = ("1", "true", "yes", "on")


@dataclass(slots=True, frozen=True)
class HubConfig:
    """Where repositories are looked for, in the order to ask."""

    endpoints: tuple[str, ...] = (HUB,)
    """Base URLs without a slash at the end."""
    offline: bool = False
    own_token: str | None = field(default=None, repr=False)
    """For the first endpoint, whichever it is."""
    hub_token: str | None = field(default=None, repr=False)
    """For huggingface.co; besides it, the one that `hf auth login` saved is used there."""
    ca_file: str | None = None

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> "HubConfig":
        first = environ.get("HF_ENDPOINT", "").strip().rstrip("/") or HUB
        more = (url.rstrip("/") for url in environ.get("LOCALMIND_HUB_MIRRORS", "").split())
        offline = any(environ.get(name, "").lower() in _YES for name in ("HF_HUB_OFFLINE", "LOCALMIND_OFFLINE"))
        return cls(
            tuple(dict.fromkeys(url for url in (first, *more) if url.startswith(("https://", "http://")))),
            offline,
            environ.get("LOCALMIND_HUB_TOKEN") or None,
            environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or None,
            environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE") or None,
        )

    def token(self, endpoint: str) -> str | None:
        """What may be sent to this endpoint. Reads the saved token from the disk, if there is need to."""
        if self.own_token and self.endpoints and endpoint == self.endpoints[0]:
            return self.own_token
        parts = urlsplit(endpoint)
        if parts.scheme != "https" or parts.hostname not in ("huggingface.co", "hf.co"):
            return None
        if self.hub_token:
            return self.hub_token
        from huggingface_hub import get_token  # 0.5 s of import, and only the Hub's own address needs it

        return get_token()
