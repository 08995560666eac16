"""Described machines and models, so that plans are tested for computers nobody here owns."""

from dataclasses import dataclass, replace

from localmind.machine.devices import Gpu, Machine

GIB = 1 << 30

LAPTOP = Machine(
    system="linux",
    arch="x86_64",
    cpu_model="Core i5",
    cpu_flags=frozenset({"avx2", "fma"}),
    cores_physical=4,
    cores_usable=8,
    memory_total=16 * GIB,
    memory_available=10 * GIB,
)
XEON = replace(LAPTOP, cpu_model="Xeon", cpu_flags=frozenset({"avx512f", "amx_tile"}), cores_physical=2, cores_usable=2)
EDGE = replace(LAPTOP, arch="aarch64", cpu_model="Pi", memory_total=2 * GIB, memory_available=int(1.2 * GIB))
FULL = replace(LAPTOP, memory_available=GIB // 4)
CONTAINER = replace(LAPTOP, memory_available=int(1.9 * GIB), memory_limit=2 * GIB, cores_usable=1)
APPLE = replace(
    LAPTOP,
    system="darwin",
    arch="arm64",
    cpu_model="Apple M2",
    cpu_flags=frozenset(),
    gpus=(Gpu("Apple GPU", "Metal", 12 * GIB, 10 * GIB, unified=True),),
)
CUDA = replace(LAPTOP, gpus=(Gpu("RTX 4090", "CUDA", 24 * GIB, 23 * GIB),))
SMALL_CUDA = replace(LAPTOP, gpus=(Gpu("GTX 1650", "CUDA", 4 * GIB, int(3.5 * GIB)),))
TWO_CUDA = replace(LAPTOP, gpus=(Gpu("A", "CUDA", 8 * GIB, 7 * GIB), Gpu("B", "CUDA", 8 * GIB, 7 * GIB, id="CUDA1")))


@dataclass(frozen=True)
class FakeFacts:
    """A model as a plan sees it."""

    n_layers: int
    n_vocab: int
    n_embd: int
    ctx_train: int
    kv_per_layer: int
    bytes_per_layer: int
    other_bytes: int

    n_ff: int = 1536
    n_heads: int = 9
    n_queries: int = 0
    expert_per_layer: int = 0
    state_per_layer: int = 0
    output_bytes: int = 0
    tied: bool = False
    window: int = 0

    @property
    def expert_bytes(self) -> tuple[int, ...]:
        return (self.expert_per_layer,) * self.n_layers

    @property
    def state_values(self) -> tuple[int, ...]:
        return (self.state_per_layer,) * self.n_layers

    @property
    def kv_values(self) -> tuple[int, ...]:
        return (self.kv_per_layer,) * self.n_layers

    @property
    def layer_bytes(self) -> tuple[int, ...]:
        return (self.bytes_per_layer,) * self.n_layers


SMOL = FakeFacts(30, 49152, 576, 8192, 3 * 128, 2_216_448, 30_083_328)
EIGHT_B = FakeFacts(32, 128256, 4096, 131072, 8 * 256, 136_000_000, 560_000_000)
