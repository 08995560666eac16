"""What some end-to-end tests need of the machine: programs that are not ours, and rights.

`@pytest.mark.needs(...)` names it, conftest.py leaves out what cannot run here and says so above the results. Programs
are looked for in LOCALMIND_TEST_EDITORS (docs/api-tests.md says how it is made), beside Python, and in PATH.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path(os.environ.get("LOCALMIND_TEST_EDITORS", "/nowhere"))
OLDEST_NEOVIM = (0, 10)
"""llama.vim draws its completion with what came with it."""


def program(name: str) -> Path | None:
    """Where it is."""
    for directory in (PLACE / "bin", Path(sys.executable).parent):
        if (directory / name).exists():
            return directory / name
    found = shutil.which(name)
    return Path(found) if found else None


def here(what: str) -> bool:
    """Whether this machine has it. Raises KeyError for what nobody has described."""
    return {"root": _root, "network namespaces": _namespaces, "nvim": _nvim, "emacs": _emacs}.get(
        what, lambda: program(_PROGRAMS[what]) is not None
    )()


_PROGRAMS = {"chromium": "chromium", "llm": "llm", "aider": "aider"}


def _root() -> bool:
    return os.getuid() == 0


def _namespaces() -> bool:
    """Another network beside this one can be made, and a wire to it."""
    if not _root() or program("ip") is None:
        return False
    space, near, far = (f"{name}{os.getpid()}" for name in ("lmtry", "lmtrya", "lmtryb"))
    made = f"ip netns add {space} && ip link add {near} type veth peer name {far} netns {space}; found=$?; "
    undone = f"ip link del {near}; ip netns del {space}; exit $found"
    return subprocess.run(["sh", "-c", made + undone], capture_output=True).returncode == 0


def _nvim() -> bool:
    found = program("nvim")
    if found is None or not (PLACE / "llama.vim").exists():
        return False
    told = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    version = re.match(r"NVIM v(\d+)\.(\d+)", told)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_NEOVIM


def _emacs() -> bool:
    return program("emacs") is not None and (PLACE / "elisp" / "gptel").exists()
