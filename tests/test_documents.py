"""The README and `--help` held to the code, and what a quick command may import."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from localmind.cli import COMMANDS, main
from localmind.machine.build import VERSION

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")

HEAVY = (
    "textual",
    "fastapi",
    "uvicorn",
    "pydantic",
    "llama_cpp",
    "chromadb",
    "ctranslate2",
    "faster_whisper",
    "huggingface_hub",
    "numpy",
    "httpx2",
    "rich",
)


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def command_of(words: list[str]) -> click.Command:
    """The command that these words name, groups followed. Raises UsageError for a word that names none."""
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_parser(context).parse_args(list(words))
    return command


def test_the_readme_opens_with_exactly_two_commands_and_a_picture() -> None:
    head = README.split("\n## ", 1)[0]
    commands = [line.split("#")[0].strip() for line in re.findall(r"```sh\n(.*?)```", head, re.S)[0].splitlines()]
    assert commands == ["make demo", "make test"]
    picture = re.search(r"!\[[^\]]+\]\(([^)]+)\)", head)
    assert picture is not None
    assert (ROOT / picture[1]).is_file()


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("line", [line for line in shell_lines() if re.search(r"(^|/)localmind ", line)])
def test_every_localmind_command_of_the_readme_parses(line: str) -> None:
    import shlex

    words = shlex.split(line.split(" #")[0])
    if "&&" in words:
        return
    command_of(words[1:])


def test_commands_in_backticks_exist() -> None:
    for words in re.findall(r"`localmind ([a-z][^`]*)`", README):
        command_of(words.replace("FILE", "x").split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_help_is_the_commands_own_first_line(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help is not None
    assert command.help.split("\n")[0] == COMMANDS[name][1]


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += every_command(command, (*path, name))
    return found


@pytest.mark.parametrize(
    ("path", "command"), every_command(main), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_option_has_help(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help, path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, (path, parameter.name)


def test_listings_take_json() -> None:
    for path, command in every_command(main):
        if path[-1] in ("list", "show", "status", "search", "doctor"):
            assert any(parameter.name == "as_json" for parameter in command.params), path


def test_help_imports_none_of_the_heavy_packages() -> None:
    code = (
        "import sys\n"
        "from localmind.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_the_daemon_imports_no_native_inference_library() -> None:
    code = (
        "import sys, localmind.daemon.run\n"
        "native = ('llama_cpp', 'chromadb', 'ctranslate2', 'onnxruntime', 'numpy')\n"
        "print([name for name in native if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)
    listed = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["engine"],
        *project["dependency-groups"]["dev"],
    ]
    for requirement in listed:
        line = next(line for line in text.splitlines() if line.startswith(f'    "{requirement}"'))
        assert re.search(r"# \S+ \S+", line), requirement


def test_what_the_binding_requires_is_among_our_dependencies() -> None:
    """`localmind engine build` installs the binding without its requirements: see machine/build.py."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in ours}  # type: ignore[index]
    for requirement in importlib.metadata.requires("llama-cpp-python") or []:
        if "extra ==" not in requirement:
            assert re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") in names, requirement  # type: ignore[index]


def test_the_binding_that_is_built_is_the_one_that_is_pinned() -> None:
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["engine"]
    assert pinned == [f"llama-cpp-python=={VERSION}"]


def test_no_package_shadows_the_library_named_packaging() -> None:
    assert not (ROOT / "packaging" / "__init__.py").exists()
