"""Which build of the engine a machine's GPUs want, and the exact commands that bring it.

Pure functions of a described machine and of which tools are found. A build needs the maker's compiler (nvcc, hipcc) or
the shader compiler (glslc); where that is missing, the command that installs it is named, and the wheel that somebody
else has built, where there is one for this Python.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from localmind.machine.binding import DISTRIBUTION
from localmind.machine.devices import Machine
from localmind.machine.flags import GPU_FLAGS

WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"
CUDA_WHEELS = ((11, 8), (12, 1), (12, 2), (12, 3), (12, 4), (12, 5), (13, 0), (13, 2))
"""CUDA versions that llama-cpp-python's own index has wheels for; a driver runs all up to its own."""
WHEEL_PYTHONS = ((3, 10), (3, 12))
"""From, to: Pythons that they are built for."""

TOOLS = {"CUDA": "nvcc", "ROCm": "hipcc", "Vulkan": "glslc"}
"""What must be there to compile for a backend."""
RUNS_WITH = {"CUDA": ("CUDA", "Vulkan"), "ROCm": ("ROCm", "Vulkan"), "Vulkan": ("Vulkan",), "Metal": ("Metal",)}
"""Backends that can use a device, the fastest first."""
PACKAGES = {
    "CUDA": {
        "apt-get": "sudo apt-get install nvidia-cuda-toolkit",
        "dnf": "sudo dnf install cuda-toolkit",
        "pacman": "sudo pacman -S cuda",
        "zypper": "sudo zypper install cuda-toolkit",
        "winget": "winget install Nvidia.CUDA",
    },
    "ROCm": {
        "apt-get": "sudo apt-get install hipcc libhipblas-dev librocblas-dev",
        "dnf": "sudo dnf install rocm-hip-devel hipblas-devel rocblas-devel",
        "pacman": "sudo pacman -S rocm-hip-sdk",
    },
    "Vulkan": {
        "apt-get": "sudo apt-get install glslc libvulkan-dev spirv-headers",
        "dnf": "sudo dnf install glslc vulkan-headers vulkan-loader-devel spirv-headers-devel",
        "pacman": "sudo pacman -S shaderc vulkan-headers vulkan-icd-loader spirv-headers",
        "zypper": "sudo zypper install shaderc vulkan-devel spirv-headers",
        "winget": "winget install KhronosGroup.VulkanSDK",
    },
}


@dataclass(slots=True, frozen=True)
class GpuBuild:
    """A build that would use a GPU which the installed one does not."""

    gpu: str
    backend: str
    ready: bool
    """What it takes to compile it is here."""
    tools: str | None
    """The command that installs what is missing; None if nothing is, or no package manager is known."""
    wheel: str | None
    """The command that installs it without compiling; None if nobody has built one for this machine."""

    @property
    def flag(self) -> str:
        """For CMAKE_ARGS, where somebody builds by hand."""
        return GPU_FLAGS[self.backend]

    @property
    def command(self) -> str:
        """What to type, the surest first."""
        build = f"localmind engine build --backend {self.backend.lower()}"
        steps = build if self.ready else f"{self.tools}, then `{build}`" if self.tools else build
        return f"{steps}; or, without compiling: {self.wheel}" if self.wheel else steps


def wanted_build(machine: Machine, built: frozenset[str], environ: Mapping[str, str], version: str) -> GpuBuild | None:
    """For the first GPU that no backend of the installed engine can use; None if all are used.

    Of the backends that could, the fastest whose tools are here; if none are, the fastest.
    """
    for gpu in machine.gpus:
        able = RUNS_WITH.get(gpu.backend, ())
        if not able or built & set(able):
            continue
        ready = [backend for backend in able if has_tools(backend, environ)]
        backend = (ready or able)[0]
        tools = None if ready else _install(backend, environ)
        wheels = (_wheel(each, machine, gpu.driver, version) for each in able)
        return GpuBuild(gpu.name, backend, bool(ready), tools, next(filter(None, wheels), None))
    return None


def has_tools(backend: str, environ: Mapping[str, str]) -> bool:
    tool = TOOLS.get(backend)
    return tool is None or shutil.which(tool, path=environ.get("PATH")) is not None


def _install(backend: str, environ: Mapping[str, str]) -> str | None:
    commands = PACKAGES.get(backend, {})
    return next((text for tool, text in commands.items() if shutil.which(tool, path=environ.get("PATH"))), None)


def _wheel(backend: str, machine: Machine, driver: str, version: str) -> str | None:
    """The command for a prebuilt wheel. `driver` is the newest CUDA that it runs, "12.4"."""
    if not WHEEL_PYTHONS[0] <= sys.version_info[:2] <= WHEEL_PYTHONS[1]:
        return None
    index: str | None = None
    if backend == "CUDA" and machine.arch in ("x86_64", "amd64"):
        words = driver.split(".")
        most = (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else (0, 0)
        best = max((wheel for wheel in CUDA_WHEELS if wheel <= most), default=None)
        index = f"cu{best[0]}{best[1]}" if best else None
    elif backend == "Vulkan" and machine.arch in ("x86_64", "amd64") and machine.system in ("linux", "windows"):
        index = "vulkan"
    elif backend == "Metal":
        index = "metal"
    elif backend == "ROCm" and machine.arch == "x86_64" and machine.system == "linux":
        index = "rocm72"
    if index is None:
        return None
    pip = f"{sys.executable} -m pip install --force-reinstall --no-deps --only-binary :all:"
    return f"{pip} --index-url {WHEELS}/{index} {DISTRIBUTION}=={version}"
