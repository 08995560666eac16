"""How much memory this machine has and has free, for the lists of models."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Room:
    """Memory of this machine, in bytes; the app runs where the daemon does."""

    total: int
    available: int

    @classmethod
    def now(cls) -> "Room":
        import psutil  # 0.05 s, needed by the lists of models only

        memory = psutil.virtual_memory()
        return cls(memory.total, memory.available)
