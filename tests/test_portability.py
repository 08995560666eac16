"""What Windows does not have is not needed for importing anything, and where it is used somebody asked first.

Read from the source: no Windows is at hand. A use that is new here belongs behind a question (`sys.platform`,
`hasattr`) and then into this list.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline"}
POSIX_NAMES = {
    "os": {"fork", "killpg", "getuid", "geteuid", "getpgid", "setsid", "sched_getaffinity", "statvfs", "mkfifo"},
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXCPU", "SIGCHLD"},
    "socket": {"AF_UNIX", "SO_PEERCRED"},
}
ASKED_FIRST = {
    "localmind/api/peers.py": {"os.getuid", "socket.SO_PEERCRED"},
    "localmind/client/wire.py": {"socket.AF_UNIX"},
    "localmind/daemon/protocol.py": {"socket.AF_UNIX"},
    "localmind/daemon/sockets.py": {"socket.AF_UNIX"},
    "localmind/knowledge/extract_child.py": {"signal.SIGKILL"},
    "localmind/machine/build.py": {"os.killpg"},
    "localmind/machine/devices.py": {"os.sched_getaffinity"},
    "localmind/paths.py": {"os.getuid"},
    "localmind/workers/runtime.py": {"signal.SIGKILL"},
}
NOT_YET = {
    "localmind/knowledge/extract_worker.py": {"signal.SIGKILL", "signal.SIGXCPU"},  # it reads pipes by select, too
    "tui/localmind_tui/app.py": {"signal.SIGHUP"},
}
"""These cannot run on Windows."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for top in ("localmind", "tui"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def imported_at_once(tree: ast.Module) -> set[str]:
    """Modules that importing this one imports, but for those under a condition."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_no_module_needs_posix_to_be_imported() -> None:
    assert {name: found for name, tree in sources() if (found := imported_at_once(tree) & POSIX_MODULES)} == {}


def test_what_only_posix_has_is_used_where_somebody_asks_first() -> None:
    used = {
        name: {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in POSIX_NAMES.get(node.value.id, ())
        }
        for name, tree in sources()
    }
    assert {name: found for name, found in used.items() if found} == ASKED_FIRST | NOT_YET
