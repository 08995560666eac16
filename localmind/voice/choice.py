"""Which speech model listens, and how it is laid on this machine. Pure, and free of native code.

A GPU that CTranslate2 can use is CUDA; everything else runs on the CPU, where eight-bit weights take half the memory
and keep the text (docs/voice.md). Among the installed models the best one is taken that understands the language and
still keeps up with speech here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import InvalidRequest, ModelNotFound, ModelNotInstalled
from localmind.machine.devices import Gpu, Machine

MIB = 1 << 20

ANY_NAMES = frozenset(
    {"", "default", "whisper-1", "whisper", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"}
)
"""Names by which OpenAI's clients mean "the one you have"."""

SOUND = 200 * MIB
"""Fifteen minutes as samples, as the spectrum of what is spoken, and in between."""

BESIDE_A_GPU = 400 * MIB
"""Main memory of a worker whose model is on a GPU: the process, CUDA's libraries, and the sound."""

LIVE_PARAMETERS_A_CORE = 45_000_000
"""A CPU core keeps up with speech up to about this size: tiny on one core, base on two, small on six."""


@dataclass(slots=True, frozen=True)
class Laid:
    """How a speech model is loaded."""

    device: str
    compute_type: str
    threads: int
    memory: int
    """Bytes that it takes on its device, activations included; an estimate."""
    reasons: tuple[str, ...]
    gpu: str = ""
    """Its id, where the device is one."""


def english_only(spec: ModelSpec) -> bool:
    """OpenAI marks them by `.en`; the distilled ones were trained on English."""
    return spec.name.endswith(".en") or "distil" in spec.name


def understands(spec: ModelSpec, language: str | None) -> bool:
    return language in (None, "en") or not english_only(spec)


def choose(
    catalog: Catalog,
    installed: Callable[[ModelSpec], bool],
    machine: Machine,
    name: str | None,
    language: str | None = None,
    *,
    preferred: str | None = None,
    translate: bool = False,
) -> ModelSpec:
    """The installed speech model to use. Raises ModelNotFound, ModelNotInstalled or InvalidRequest."""
    wanted = (name or "").strip().lower()
    if wanted in ANY_NAMES:
        wanted = preferred or ""
    known = catalog.of_role("speech")
    needed = "many" if translate and language in (None, "en") else language
    if wanted:
        spec = catalog.find(wanted)
        if spec.role != "speech":
            raise InvalidRequest(
                f"{spec.name} is a model for {spec.role}, not for speech", hint="localmind models list"
            )
        if not installed(spec):
            raise ModelNotInstalled(
                f"{spec.name} is not on this machine yet", hint=f"localmind models pull {spec.name}"
            )
        if not understands(spec, needed):
            raise _english(spec, needed, known)
        return spec
    here = [spec for spec in known if installed(spec)]
    if not here:
        if not known:
            raise ModelNotFound("the catalog has no speech model", hint="localmind models list")
        raise ModelNotInstalled("no speech model is on this machine yet", hint=f"localmind models pull {known[0].name}")
    fitting = [spec for spec in here if understands(spec, needed)]
    if not fitting:
        raise _english(here[0], needed, known)
    quick = [spec for spec in fitting if keeps_up(spec, machine)]
    # Where none keeps up the smallest is the least bad; else the best, and for English one that knows nothing else.
    if not quick:
        return min(fitting, key=lambda spec: spec.parameters)
    return max(quick, key=lambda spec: (spec.parameters, english_only(spec)))


def keeps_up(spec: ModelSpec, machine: Machine) -> bool:
    """Whether the model writes at least as fast here as people speak."""
    return bool(_cuda(machine, spec)) or spec.parameters <= LIVE_PARAMETERS_A_CORE * machine.cores


def lay(spec: ModelSpec, machine: Machine, *, threads: int | None = None) -> Laid:
    """Device, number format and threads for a model."""
    gpus = _cuda(machine, spec)
    wanted = threads or machine.cores
    if gpus:
        reason = f"on {gpus[0].name}, in float16"
        return Laid("cuda", "float16", wanted, _bytes(spec, 2.0), (reason,), gpus[0].id)
    reasons = [f"on the CPU with {wanted} threads, in int8"]
    if machine.gpus and machine.gpus[0].backend != "CUDA":
        reasons.append(f"speech models cannot use {machine.gpus[0].name}: CTranslate2 knows CUDA only")
    return Laid("cpu", "int8", wanted, _bytes(spec, 1.1), tuple(reasons))


def _cuda(machine: Machine, spec: ModelSpec) -> list[Gpu]:
    need = _bytes(spec, 2.0) + 300 * MIB
    return [gpu for gpu in machine.gpus if gpu.backend == "CUDA" and gpu.memory_free >= need]


def _bytes(spec: ModelSpec, each: float) -> int:
    """Weights, the worker itself and a pass with five beams, and a window of sound (figures: docs/voice.md)."""
    return int(spec.parameters * each) + 150 * MIB + SOUND


def _english(spec: ModelSpec, needed: str | None, known: Iterable[ModelSpec]) -> InvalidRequest:
    others = sorted((each for each in known if not english_only(each)), key=lambda each: each.parameters)
    hint = f"localmind models pull {others[0].name}" if others else "localmind models list"
    if needed == "many":
        return InvalidRequest(f"{spec.name} understands English only, so it cannot translate", hint=hint)
    return InvalidRequest(f"{spec.name} understands English only, not {needed!r}", hint=hint)
