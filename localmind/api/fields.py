"""The fields that every kind of generation shares, in OpenAI's names and llama.cpp's, with their bounds.

Whatever changes an answer is either honoured or refused by name with a 400: silence would be a wrong
answer. What only steers another server's inside (slots, sampler order, caching) is ignored, as other
servers do. Dialects build their request bodies on `GenerationFields` and turn them into values here.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from localmind.errors import InvalidRequest
from localmind.messages import Priority, ResponseFormat, SamplingParams, stated

MOST_CHOICES = 16
MOST_STOPS = 64
MOST_BIASES = 10_000
MOST_BREAKERS = 64
NEVER = -1e9
"""Added to a logit: the token cannot be chosen. Finite, because JSON and native code disagree about infinity."""

PRIORITIES: tuple[Priority, ...] = ("interactive", "background")
PRIORITY_HEADER = "x-localmind-priority"


Stop = Annotated[str, Field(min_length=1, max_length=1000)]
_d = SamplingParams()
SAMPLED = set(SamplingParams.__struct_fields__)


class Lora(BaseModel):
    """One adapter of a request, by the name it was loaded under or its place in the list of those loaded."""

    id: str | int | None = None
    name: str | None = None
    scale: float = Field(1.0, ge=-100, le=100, allow_inf_nan=False)


class GenerationFields(BaseModel):
    """Sampling and limits. Null means the default."""

    model_config = ConfigDict(extra="ignore")

    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=-1, le=1_000_000)
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, ge=0, le=1)
    typ_p: float | None = Field(None, ge=0, le=1)
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=100)
    repetition_penalty: float | None = Field(None, gt=0, le=100)
    repeat_last_n: int | None = Field(None, ge=-1, le=10_000_000)
    presence_penalty: float | None = Field(None, ge=-100, le=100)
    frequency_penalty: float | None = Field(None, ge=-100, le=100)
    dry_multiplier: float | None = Field(None, ge=0, le=100)
    dry_base: float | None = Field(None, ge=1, le=100)
    dry_allowed_length: int | None = Field(None, ge=0, le=10_000_000)
    dry_penalty_last_n: int | None = Field(None, ge=-1, le=10_000_000)
    dry_sequence_breakers: list[Annotated[str, Field(max_length=100)]] | None = Field(None, max_length=MOST_BREAKERS)
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: float | None = Field(None, ge=0, le=1000)
    mirostat_eta: float | None = Field(None, ge=0, le=100)
    logit_bias: dict[str, Any] | list[Any] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    seed: int | None = Field(None, ge=-(2**63), le=2**64)
    ignore_eos: bool | None = None
    min_tokens: int | None = Field(None, ge=0, le=10_000_000)
    grammar: str | None = Field(None, max_length=1_000_000)
    json_schema: dict[str, Any] | bool | None = None
    priority: Priority | None = None
    lora: list[Lora] | None = Field(None, max_length=64)
    top_n_sigma: float | None = None
    dynatemp_range: float | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _no_stop(cls, value: Any) -> Any:
        return None if value in ("", []) else value

    def sampling(self, *, limit: int | None, logprobs: int | None = None) -> SamplingParams:
        """The values for the engine. `limit` is the most tokens, None or below 0 for no limit."""
        if limit == 0:
            raise InvalidRequest("max_tokens must be at least 1")
        self._refuse()
        top_k = _or(self.top_k, _d.top_k)
        stop = self.stop or ()
        return SamplingParams(
            temperature=_or(self.temperature, _d.temperature),
            top_k=max(top_k, 0),
            top_p=_or(self.top_p, _d.top_p),
            min_p=_or(self.min_p, _d.min_p),
            max_tokens=None if limit is None or limit < 0 else limit,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            seed=None if self.seed is None or self.seed == -1 else self.seed % 2**32,
            ignore_eos=_or(self.ignore_eos, False),
            min_tokens=_or(self.min_tokens, 0),
            typical_p=_or(self.typical_p, _or(self.typ_p, _d.typical_p)),
            xtc_probability=_or(self.xtc_probability, _d.xtc_probability),
            xtc_threshold=_or(self.xtc_threshold, _d.xtc_threshold),
            repeat_penalty=_or(self.repeat_penalty, _or(self.repetition_penalty, _d.repeat_penalty)),
            repeat_last_n=_or(self.repeat_last_n, _d.repeat_last_n),
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            dry_multiplier=_or(self.dry_multiplier, 0.0),
            dry_base=_or(self.dry_base, _d.dry_base),
            dry_allowed_length=_or(self.dry_allowed_length, _d.dry_allowed_length),
            dry_penalty_last_n=_or(self.dry_penalty_last_n, _d.dry_penalty_last_n),
            dry_sequence_breakers=tuple(_or(self.dry_sequence_breakers, list(_d.dry_sequence_breakers))),
            mirostat=_or(self.mirostat, 0),
            mirostat_tau=_or(self.mirostat_tau, _d.mirostat_tau),
            mirostat_eta=_or(self.mirostat_eta, _d.mirostat_eta),
            logit_bias=biases(self.logit_bias),
            logprobs=logprobs,
            stated=stated({name: getattr(self, name) for name in self.model_fields_set & SAMPLED}),
        )

    def constraint(self, response_format: Mapping[str, Any] | None = None) -> ResponseFormat:
        """What the text must look like, from OpenAI's `response_format` or llama.cpp's two fields."""
        schema, wanted = schema_of(response_format)
        if self.json_schema is not None:
            if wanted:
                raise InvalidRequest("response_format and json_schema exclude each other")
            schema, wanted = self.json_schema, True
        if self.grammar and wanted:
            raise InvalidRequest("grammar and a JSON schema exclude each other")
        return ResponseFormat(json_schema=schema if wanted else None, grammar=self.grammar or None)

    def adapters(self) -> tuple[tuple[str, float], ...]:
        """(name or number, scale). Raises InvalidRequest."""
        for each in self.lora or ():
            if (each.id is None) == (each.name is None):
                raise InvalidRequest("lora: each adapter needs either `id` or `name`")
        return tuple((str(each.id if each.name is None else each.name), each.scale) for each in self.lora or ())

    def priority_of(self, request: HttpRequest) -> Priority:
        """From the body, else from the header. Raises InvalidRequest for another word."""
        if self.priority is not None:
            return self.priority
        word = request.headers.get(PRIORITY_HEADER, "interactive").strip().lower()
        for known in PRIORITIES:
            if word == known:
                return known
        raise InvalidRequest(f"{PRIORITY_HEADER}: {word[:40]!r} is neither interactive nor background")

    def _refuse(self) -> None:
        for name, on in (
            ("top_n_sigma", _or(self.top_n_sigma, -1.0) > 0),
            ("dynatemp_range", _or(self.dynatemp_range, 0.0) > 0),
        ):
            if on:
                raise InvalidRequest(f"{name} is not supported by localmind", hint=f"leave out {name!r}")


def schema_of(response_format: Mapping[str, Any] | None) -> tuple[Any, bool]:
    """The JSON Schema that a `response_format` asks for, and whether it asks for one."""
    kind = (response_format or {}).get("type", "text")
    if kind == "text":
        return None, False
    assert response_format is not None
    if kind == "json_object":  # llama.cpp takes a schema here too
        return _schema(response_format.get("schema"), "response_format.schema"), True
    if kind == "json_schema":
        inner = response_format.get("json_schema")
        if not isinstance(inner, dict) or inner.get("schema") is None:
            raise InvalidRequest("response_format.json_schema needs a `schema`")
        return _schema(inner["schema"], "response_format.json_schema.schema"), True
    raise InvalidRequest(f"response_format.type {str(kind)[:40]!r} is not one of text, json_object, json_schema")


def _schema(value: Any, name: str) -> Any:
    if value is None:
        return {}
    if not isinstance(value, dict | bool):
        raise InvalidRequest(f"{name} must be an object or a boolean")
    return value


def biases(value: dict[str, Any] | list[Any] | None) -> tuple[tuple[int, float], ...]:
    """`{"50256": -100}` (OpenAI) or `[[50256, -1.0], [13, false]]` (llama.cpp; false forbids the token)."""
    pairs = list(value.items()) if isinstance(value, dict) else list(value or ())
    if len(pairs) > MOST_BIASES:
        raise InvalidRequest(f"logit_bias has {len(pairs)} entries, more than {MOST_BIASES}")
    found: dict[int, float] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidRequest("logit_bias must map token ids to numbers")
        token, bias = pair
        if isinstance(token, bool) or not isinstance(token, int | str) or not str(token).isdecimal():
            raise InvalidRequest(f"logit_bias: {str(token)[:40]!r} is not a token id", hint="POST /tokenize gives ids")
        if len(str(token)) > 10:
            raise InvalidRequest(f"logit_bias: {str(token)[:40]} is not a token id of this model")
        if bias is False:
            found[int(token)] = NEVER
        elif isinstance(bias, bool) or not isinstance(bias, int | float) or not abs(bias) < math.inf:
            raise InvalidRequest(f"logit_bias: the bias of token {token} is not a number")
        else:
            found[int(token)] = float(max(NEVER, min(-NEVER, bias)))
    return tuple(found.items())


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
