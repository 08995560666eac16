"""What may be read: the deny list, noise, ignore files, and hostile ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.knowledge.rules import Rules, denied, read_ignore_file
from localmind.knowledge.scan import walk


def readable(root: Path, never: tuple[Path, ...] = ()) -> set[str]:
    return set(walk(root, Rules(root, never)).entries)


def put(root: Path, *relpaths: str, text: str = "words") -> None:
    for relpath in relpaths:
        path = root / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "relpath",
    [
        ".env", "app/.env.production", "prod.env", "certs/server.pem", "server.KEY", "id_rsa",
        "id_ed25519.bak", "a/.netrc", ".bash_history", "vault.kdbx", ".npmrc", "wallet.dat", "Logins.json",
        "secrets.yaml", "x/.git-credentials",
    ],
)  # fmt: skip
def test_secret_files_are_denied_whatever_an_ignore_file_says(tmp_path: Path, relpath: str) -> None:
    put(tmp_path, relpath, "notes.md")
    put(tmp_path, ".localmindignore", text=f"!*\n!.*\n!{relpath}\n!/{relpath}\n")
    assert readable(tmp_path) == {"notes.md", ".localmindignore"}
    assert "secrets" in (Rules(tmp_path).explain(relpath, is_dir=False) or "")


@pytest.mark.parametrize("directory", [".ssh", ".gnupg", ".git", ".aws", ".config/google-chrome", "Library/Keychains"])
def test_secret_directories_are_denied_with_everything_below(tmp_path: Path, directory: str) -> None:
    put(tmp_path, f"{directory}/deep/notes.md", "notes.md")
    put(tmp_path, ".localmindignore", text="!*\n!.*\n!**/.*/\n")
    assert readable(tmp_path) - {".localmindignore"} == {"notes.md"}


@pytest.mark.parametrize(
    "name", ["id_cards.csv", "keyboard.md", "environment.txt", "tokens.md", "history.md", "cookiesrecipe.md"]
)
def test_names_that_only_resemble_secrets_are_read(name: str) -> None:
    assert not denied(name, is_dir=False)


def test_noise_is_left_out_and_can_be_lifted(tmp_path: Path) -> None:
    put(tmp_path, "node_modules/a/index.js", ".hidden/a.md", ".github/b.md", "app.min.js", "a.md", "a.md~", "~$a.docx")
    assert readable(tmp_path) == {"a.md", ".github/b.md"}
    put(tmp_path, ".localmindignore", text="!.hidden/\n!.localmindignore\n")
    assert readable(tmp_path) == {"a.md", ".github/b.md", ".hidden/a.md", ".localmindignore"}


def test_ignore_files_nest_and_the_innermost_speaks_last(tmp_path: Path) -> None:
    put(tmp_path, "a.log", "keep/a.log", "keep/b.log", "drop/c.txt", "drop/d.md")
    put(tmp_path, ".gitignore", text="*.log\ndrop/*.txt\n")
    put(tmp_path, "keep/.gitignore", text="!a.log\n")
    put(tmp_path, "drop/.localmindignore", text="*.md\n")
    assert readable(tmp_path) == {"keep/a.log"}
    rules = Rules(tmp_path)
    assert rules.explain("a.log", is_dir=False) == "excluded by .gitignore: *.log"
    assert rules.explain("drop/d.md", is_dir=False) == "excluded by drop/.localmindignore: *.md"
    assert rules.explain("keep/a.log", is_dir=False) is None


def test_localmindignore_lifts_what_gitignore_excludes(tmp_path: Path) -> None:
    put(tmp_path, "build/report.md", "notes.md")
    put(tmp_path, ".gitignore", text="build/\n")
    assert readable(tmp_path) == {"notes.md"}
    put(tmp_path, ".localmindignore", text="!build/\n")
    assert readable(tmp_path) == {"notes.md", "build/report.md"}


def test_an_excluded_directory_is_the_reason_for_all_below(tmp_path: Path) -> None:
    put(tmp_path, "node_modules/deep/a.md")
    reason = Rules(tmp_path).explain("node_modules/deep/a.md", is_dir=False)
    listed = "the built-in list of hidden and generated files: node_modules/"
    assert reason == f"its directory node_modules/ is left out: excluded by {listed}"


def test_own_state_is_never_read(tmp_path: Path) -> None:
    put(tmp_path, "state/knowledge.md", "notes.md")
    assert readable(tmp_path, (tmp_path / "state",)) == {"notes.md"}


def test_links_are_not_followed_and_not_listed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "secret.md")
    root = tmp_path / "root"
    put(root, "a.md")
    (root / "link.md").symlink_to(outside / "secret.md")
    (root / "dir").symlink_to(outside)
    (root / "loop").symlink_to(root)
    assert readable(root) == {"a.md"}
    assert Rules(root).explain("link.md", is_dir=False) == "it is a symbolic link"
    assert Rules(root).explain("dir/secret.md", is_dir=False) == "its directory dir/ is a symbolic link"


def test_pipes_and_empty_files_are_not_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.md")
    (tmp_path / "empty.md").touch()
    os.mkfifo(tmp_path / "pipe.md")
    assert readable(tmp_path) == {"a.md"}


def test_an_ignore_file_that_is_a_link_or_a_pipe_is_ignored(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere", text="*.md\n")
    put(tmp_path, "root/a.md")
    (tmp_path / "root/.gitignore").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "root/.localmindignore")
    assert readable(tmp_path / "root") == {"a.md"}


def test_a_hostile_ignore_file_is_cut_to_what_is_usable(tmp_path: Path) -> None:
    path = tmp_path / ".gitignore"
    path.write_bytes(b"*a" * 40 + b"\n" + b"x" * 5000 + b"\n\xff\xfe\n!\n*.log\n" + b"y\n" * 9000)
    lines = read_ignore_file(str(path))
    assert "*.log" in lines
    assert len(lines) <= 5000
    assert all(len(line) <= 400 for line in lines)


def test_a_bracket_in_brackets_is_itself_as_git_has_it_and_warns_nobody(tmp_path: Path) -> None:
    put(tmp_path, "[a.md", "b.md")
    (tmp_path / ".gitignore").write_text("[[]a.md\n")
    looked = "import sys; from localmind.knowledge.rules import read_ignore_file; print(read_ignore_file(sys.argv[1]))"
    command = [sys.executable, "-W", "default", "-c", looked, str(tmp_path / ".gitignore")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['[[]a.md']\n", "")
    assert "[a.md" not in readable(tmp_path)
    assert "b.md" in readable(tmp_path)


@given(st.lists(st.text(max_size=30), max_size=8))
def test_no_ignore_file_breaks_a_scan_or_lifts_a_secret(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    put(root, ".env", "a.md", ".ssh/config")
    (root / ".gitignore").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    assert not {".env", ".ssh/config"} & readable(root)
