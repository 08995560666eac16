"""One error in each dialect's own words: which form a path speaks, and how an error looks in it.

The table in errors.py says what an error means; here it only gets its clothes. A client that knows one
dialect must never meet another's: it would show "[object Object]", or retry what cannot succeed.
"""

from collections.abc import Callable
from typing import Any

from localmind.errors import ContextTooLong, LocalmindError, QueueFull, TooManyGuesses, row, to_wire

Form = Callable[[LocalmindError], dict[str, Any]]

ANTHROPIC_TYPES = {
    "server_error": "api_error",
    "exceed_context_size_error": "invalid_request_error",
}
ANTHROPIC_PATHS = ("/v1/messages", "/api/hello", "/api/event_logging")
LLAMACPP_PATHS = (
    "/infill",
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/props",
    "/slots",
    "/lora-adapters",
)


def sentence(error: LocalmindError) -> str:
    """What happened and what to type next, as one text."""
    return error.message if error.hint is None else f"{error.message}. Hint: {error.hint}"


def openai_error(error: LocalmindError) -> dict[str, Any]:
    """OpenAI's form; `localmind` holds the parts for our own clients."""
    too_long = isinstance(error, ContextTooLong)
    return {
        "error": {
            "message": sentence(error),
            "type": row(error).type,
            "param": None,
            "code": "context_length_exceeded" if too_long else error.code,
            **error.numbers,
            "localmind": to_wire(error),
        }
    }


def ollama_error(error: LocalmindError) -> dict[str, Any]:
    return {"error": sentence(error)}


def anthropic_error(error: LocalmindError) -> dict[str, Any]:
    kind = row(error).type
    return {
        "type": "error",
        "error": {"type": ANTHROPIC_TYPES.get(kind, kind), "message": sentence(error)},
    }


def llamacpp_error(error: LocalmindError) -> dict[str, Any]:
    status, kind = row(error).status, row(error).type
    kind = "unavailable_error" if status == 503 else kind
    return {"error": {"code": status, "message": sentence(error), "type": kind, **error.numbers}}


def form_of(path: str) -> Form:
    """The form that clients of this path read."""
    if path.startswith(ANTHROPIC_PATHS):
        return anthropic_error
    if path.startswith("/api/") and not path.startswith("/api/v0/"):
        return ollama_error
    if path.startswith(LLAMACPP_PATHS):
        return llamacpp_error
    return openai_error


def headers_of(error: LocalmindError) -> dict[str, str]:
    """Whether the same request may succeed if sent again, and when."""
    headers = {"x-should-retry": "true" if row(error).retry else "false"}
    if isinstance(error, QueueFull | TooManyGuesses):
        headers["retry-after"] = str(error.retry_after_s)
    return headers
