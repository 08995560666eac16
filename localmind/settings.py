"""What a user may set, with its default and its documentation; read from settings.toml and LOCALMIND_* variables.

It owns names, types and bounds, and says in one line what is wrong with a value. It decides nothing:
each room reads the fields it needs. The daemon imports it; `localmind --help` does not (pydantic costs 0.2 s).
"""

import tomllib
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from localmind.durations import seconds
from localmind.errors import ConfigInvalid
from localmind.paths import Paths

RemoteName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""No dots, so that a remote is never taken for a host in a model's name."""


class Remote(BaseModel):
    """A server that speaks OpenAI's API: vLLM, SGLang, llama-server, another localmind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Where its API begins: "http://box:8000/v1"; without a path, /v1 is meant."""

    key: SecretStr = SecretStr("")
    """Sent to that server alone, as a bearer token."""

    files: bool = False
    """Passages of your files may be sent there too, by `localmind ask`."""

    sees: tuple[str, ...] = ()
    """Models there that can see, where the server does not say so: names, or patterns such as "*-vl-*"; "*" is all."""

    @field_validator("url")
    @classmethod
    def _whole(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address such as http://box:8000/v1 is wanted")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the address may hold no user, query or fragment; a key belongs into `key`")
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or "/v1", "", ""))


class KnowledgeSettings(BaseModel):
    """The table [knowledge]: how watched folders are indexed. In the environment: LOCALMIND_KNOWLEDGE__NAME."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chroma_url: str | None = None
    """A Chroma server or cluster that holds the vectors, e.g. "http://box:8000"; unset: files of our own. Vectors
    leave this machine then, text does not."""

    chroma_token: SecretStr = SecretStr("")
    """Sent to that server alone, as a bearer token and as X-Chroma-Token."""

    on_battery: Literal["full", "slow", "off"] = "slow"
    """What indexing does on battery: as always; half speed, and nothing below 30 %; or nothing."""

    recordings: bool = True
    """Hear what is said in sound files of watched folders, so that answers cite them by time. They come last."""

    @field_validator("chroma_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address such as http://box:8000 is wanted")
        return value.strip().rstrip("/")


class Settings(BaseSettings):
    """All settings. An environment variable LOCALMIND_NAME wins over `name = …` in settings.toml."""

    model_config = SettingsConfigDict(env_prefix="LOCALMIND_", env_nested_delimiter="__", extra="forbid", frozen=True)

    port: int = Field(11411, ge=1, le=65535)
    """TCP port of the API on 127.0.0.1 and ::1."""

    ollama_port: int | None = Field(None, ge=1, le=65535)
    """A second TCP port for programs that look for Ollama; theirs is 11434. Left out while another program has it."""

    tcp: bool = True
    """Serve TCP at all; without it only the unix socket of this user is there."""

    chat_model: str = "best"
    """The model that answers when a request names none; "best" is the best chat model that is on this machine."""

    embed_model: str = "all-minilm:l6-v2"
    """The model that turns text into vectors. Changing it embeds every folder again."""

    rerank_model: str | None = None
    """A reranker (GGUF) that reads the ten best passages of every search again and puts them in order: better
    first places, for some hundred milliseconds a search on a CPU. Unset: the order of similarity and keywords."""

    context: int | None = Field(None, ge=256, le=1_048_576)
    """KV cells of the pool that all streams of a model share; unset: as many as memory sensibly allows."""

    threads: int | None = Field(None, ge=1, le=1024)
    """Threads of the engine; unset: the cores of this machine that we may use."""

    gpu_layers: int | None = Field(None, ge=0, le=100_000)
    """Layers of each model on GPUs, the output counted as one; 0 uses none. Unset: as many as fit."""

    lock_weights: bool = False
    """Keep weights in main memory whatever other programs need, where the system allows so much to be locked."""

    stretch_context: int | None = Field(None, ge=256, le=1_048_576)
    """Tokens that one stream may have although its model was trained for fewer: positions are stretched by YaRN,
    which costs some quality everywhere. Unset, or below what a model was trained for: nothing is stretched."""

    queue_limit: int = Field(256, ge=1, le=65536)
    """Requests that may wait for one model before the next one gets a 429."""

    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    """How keys and values are stored: q8_0 takes half the memory of f16, q4_0 a quarter and some quality."""

    prefix_ram_mb: int = Field(512, ge=0, le=1_048_576)
    """Megabytes of RAM for beginnings of prompts whose cells others need; 0 keeps none there."""

    prefix_disk_mb: int = Field(2048, ge=0, le=16_777_216)
    """Megabytes of disk for beginnings of prompts that outlive a restart; 0 writes none. They can be read like
    the prompts themselves, so they lie in the private cache directory."""

    speculation: bool = True
    """Guess tokens from what the prompt repeats and check several at once, where that pays. Answers stay the same."""

    draft_model: str | None = None
    """A small model of the same family that guesses ahead for `chat_model`, while `speculation` is on."""

    keep_alive: str = "30m"
    """How long an idle model stays in memory: "10m", "1h30m", a number of seconds, 0 (not at all) or -1 (for ever).
    Its context goes after half of that, its weights at the end. A request and `localmind models load` may differ."""

    models_memory_mb: int | None = Field(None, ge=1, le=16_777_216)
    """Megabytes of main memory that all models may take together; unset: what is free, less a reserve for the rest."""

    preload: bool = False
    """Load the model used last, and pinned ones, when the daemon starts."""

    remotes: dict[RemoteName, Remote] = {}
    """Servers elsewhere, one table each: `[remotes.NAME]` with `url`, `key` and `files`. Their models are called
    NAME/model; what is asked of them leaves this machine."""

    speech_model: str | None = None
    """The model that hears; unset: the best installed one that knows the language and keeps up with speech here."""

    voice: str | None = None
    """The voice that reads aloud (`localmind say --voices`); unset: the first that speaks English."""

    microphone: str | None = None
    """The microphone, by its name or a part of it (`localmind listen --devices`); unset: the system's default one."""

    upload_limit_mb: int = Field(1024, ge=1, le=1_048_576)
    """Megabytes that one uploaded recording may have."""

    listen: tuple[str, ...] = ()
    """Addresses to listen on beside this machine's loopback, e.g. ["192.168.1.20"]. Whoever comes from another machine
    needs the token of `localmind token`, and everything travels unencrypted: an SSH tunnel is better."""

    allowed_hosts: tuple[str, ...] = ()
    """Names by which other machines call this one, as their Host header has it without the port, e.g. ["mybox.lan"].
    The addresses in `listen` are allowed by themselves, "0.0.0.0" and "::" are no names."""

    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call the API, e.g. ["http://localhost:3000"]. Empty: none may."""

    reconcile_minutes: float = Field(10.0, gt=0)
    """How often watched folders are compared with the index even if no file event came."""

    knowledge: KnowledgeSettings = KnowledgeSettings()
    """How watched folders are indexed: `[knowledge]` with `chroma_url`, `chroma_token` and `on_battery`."""

    tui: dict[str, Any] = Field(default_factory=dict)
    """The terminal app's own table: theme, vim, keys. docs/tui.md has the names; the app says what is wrong there."""

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _kept(cls, value: Any) -> str:
        seconds(value)
        return str(value)

    @property
    def keep_alive_s(self) -> float:
        return seconds(self.keep_alive)

    @classmethod
    def load(cls, paths: Paths) -> "Settings":
        """Read the file and the environment. Raises ConfigInvalid, naming the setting."""
        try:
            text = paths.settings_file.read_text("utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigInvalid(f"{paths.settings_file} cannot be read: {problem}") from problem
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as problem:
            raise ConfigInvalid(
                f"{paths.settings_file} is not TOML: {problem}", hint="fix or remove the file"
            ) from problem
        try:
            return _from(data)
        except ValidationError as problem:
            first = problem.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            wrong = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"].lower()
            raise ConfigInvalid(
                f"setting {name!r}: {wrong}",
                hint=f"change it in {paths.settings_file} or LOCALMIND_{name.upper()}",
            ) from problem


def _from(data: dict[str, Any]) -> Settings:
    class WithFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, InitSettingsSource(settings_cls, init_kwargs=data)

    return WithFile()
