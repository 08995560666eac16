"""The OpenAPI document as the routes really answer: content types, and errors in the words of each dialect.

FastAPI can know neither, since routes here give whole responses and one place turns errors into their forms; left
to itself it promises JSON everywhere and a 422 that nobody gets. What is written here is held to the answers by
tests/api/test_documented.py, and by hand with schemathesis (docs/api-tests.md).
"""

from typing import Any

from fastapi import FastAPI

from localmind.api.error_forms import Form, anthropic_error, form_of, llamacpp_error, ollama_error, openai_error

PLAIN = "application/json"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
TEXT = "text/plain"

ANSWERS: dict[str, tuple[str, ...]] = {
    "/v1/chat/completions": (PLAIN, EVENTS),
    "/v1/completions": (PLAIN, EVENTS),
    "/v1/fim/completions": (PLAIN, EVENTS),
    "/v1/responses": (PLAIN, EVENTS),
    "/v1/messages": (PLAIN, EVENTS),
    "/v1/audio/transcriptions": (PLAIN, EVENTS, TEXT, "text/vtt"),
    "/v1/audio/translations": (PLAIN, EVENTS, TEXT, "text/vtt"),
    "/v1/audio/speech": (PLAIN, EVENTS, "audio/*"),
    "/infill": (PLAIN, EVENTS),
    "/completion": (PLAIN, EVENTS),
    "/api/v0/chat/completions": (PLAIN, EVENTS),
    "/api/v0/completions": (PLAIN, EVENTS),
    "/api/chat": (PLAIN, LINES),
    "/api/generate": (PLAIN, LINES),
    "/api/pull": (PLAIN, LINES),
    "/api/create": (PLAIN, LINES),
    "/api/copy": (),
    "/api/delete": (),
    "/metrics": (TEXT,),
    "/localmind/v1/folders/follow": (EVENTS,),
    "/localmind/v1/models/verify": (EVENTS,),
    "/localmind/v1/models/pull": (EVENTS,),
    "/localmind/v1/models/import": (EVENTS,),
    "/localmind/v1/ask": (EVENTS,),
    "/localmind/v1/messages/{message_id}/events": (EVENTS,),
    "/localmind/v1/generate": (EVENTS,),
    "/localmind/v1/memory/load": (EVENTS,),
    "/localmind/v1/transcribe": (EVENTS,),
    "/localmind/v1/listen": (EVENTS,),
    "/localmind/v1/speak": (EVENTS, "audio/*"),
    "/localmind/v1/threads/{prefix}/export": ("text/markdown", PLAIN),
}
"""What a success carries, where it is not JSON alone."""

OF_ONE_METHOD = {("post", "/localmind/v1/folders"): (EVENTS,)}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": fields}


WORDS = {"type": "string"}
FORMS: dict[Form, tuple[str, dict[str, Any]]] = {
    openai_error: (
        "OpenAIError",
        _object(error=_object(message=WORDS, type=WORDS, param={}, code={"type": ["string", "null"]})),
    ),
    ollama_error: ("OllamaError", _object(error=WORDS)),
    anthropic_error: ("AnthropicError", _object(type={"const": "error"}, error=_object(type=WORDS, message=WORDS))),
    llamacpp_error: ("LlamaCppError", _object(error=_object(code={"type": "integer"}, message=WORDS, type=WORDS))),
}


class Documented(FastAPI):
    """FastAPI whose document says what comes."""

    def openapi(self) -> dict[str, Any]:
        """Made once, as FastAPI's own."""
        if self.openapi_schema is None:
            self.openapi_schema = corrected(super().openapi())
        return self.openapi_schema


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with our answers in place of FastAPI's guesses."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, schema in FORMS.values():
        schemas[name] = schema
    for path, methods in document["paths"].items():
        name, _ = FORMS[form_of(path)]
        error = {"content": {PLAIN: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        for method, operation in methods.items():
            types = OF_ONE_METHOD.get((method, path), ANSWERS.get(path, (PLAIN,)))
            success = {"description": "The answer"}
            operation["responses"] = {
                "200": success | ({"content": {each: {} for each in types}} if types else {}),
                "4XX": {"description": "What is wrong with the request, or who may not ask"} | error,
                "5XX": {"description": "What went wrong here"} | error,
            }
    return document
