"""What may be read in a watched folder, and the reason when something may not.

Three layers, in this order. The deny list (keys, passwords, browser profiles, version control, our
own state) is never lifted by anything. The noise list (hidden files, caches, generated files) and
then `.gitignore` and `.localmindignore`, outermost directory first, decide the rest; the last that
speaks wins, so `.localmindignore` can lift noise with `!pattern`. Ignore files come from
the folders themselves, so they are hostile input and bounded. Links are never followed.
"""

import fnmatch
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from localmind.knowledge.extract import words

# Of "[[]" and "[a--b]" in an ignore file Python's re says that they may come to mean something else one day.
warnings.filterwarnings("ignore", "Possible (nested )?set", FutureWarning)

IGNORE_FILES = (".gitignore", ".localmindignore")

_DENIED_FILES = words("""
.env .env.* *.env .envrc *.pem *.key *.p12 *.pfx *.p8 *.jks *.keystore *.kdbx *.kdb *.ppk *.gpg *.pgp *.ovpn
*.agekey *.token id_rsa* id_dsa* id_ecdsa* id_ed25519* *.keychain *.keychain-db .netrc _netrc .pgpass
.git-credentials .npmrc .pypirc .dockercfg .htpasswd .my.cnf .s3cfg .boto .vault-token .*_history wallet.dat key3.db
key4.db logins.json signons.sqlite cookies.sqlite cookies *.tfstate *.tfstate.backup secrets.yaml secrets.yml
secrets.json secrets.toml credentials.json client_secret*.json service-account*.json shadow gshadow
""")
_DENIED_DIRECTORIES = words("""
.git .hg .svn .bzr .ssh .gnupg .aws .azure .kube .docker .password-store .mozilla .thunderbird .pki .1password
.terraform .config/google-chrome .config/chromium .config/bravesoftware .config/microsoft-edge .config/vivaldi
.config/opera .config/gcloud .config/op .config/bitwarden* .local/share/keyrings library/keychains library/cookies
library/application?support/google/chrome library/application?support/firefox appdata/local/google/chrome
appdata/roaming/mozilla 1password bitwarden .electrum .bitcoin
""")
_NOISE = """
.*
!.github/
node_modules/
bower_components/
__pycache__/
site-packages/
*.egg-info/
*.min.js
*.min.css
*.map
package-lock.json
pnpm-lock.yaml
go.sum
*~
~$*
\\#*#
*.tmp
*.bak
"""

# Bounds on an ignore file: bytes, lines, length of a pattern, wildcards in a pattern (they become a regex).
IGNORE_BYTES, IGNORE_LINES, PATTERN_LENGTH, PATTERN_STARS = 256 * 1024, 5000, 400, 8


def _matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


_denied_file = _matcher(_DENIED_FILES)
_denied_directory = _matcher([pattern for pattern in _DENIED_DIRECTORIES if "/" not in pattern])
_denied_below = _matcher(["*/" + pattern for pattern in _DENIED_DIRECTORIES if "/" in pattern])
_NOISE_LINES = words(_NOISE)
_noise = GitIgnoreSpec.from_lines(_NOISE_LINES)


def denied(path: str, *, is_dir: bool) -> bool:
    """Whether the deny list names this path (only its own last part and what leads to it are looked at)."""
    lowered = "/" + path.lower().strip("/")
    name = lowered.rpartition("/")[2]
    if is_dir:
        return bool(_denied_directory.match(name) or _denied_below.match(lowered))
    return bool(_denied_file.match(name))


def denying_pattern(path: str, *, is_dir: bool) -> str | None:
    """The pattern of the deny list that names this path; for whoever asks why."""
    lowered = "/" + path.lower().strip("/")
    name = lowered.rpartition("/")[2]
    for pattern in _DENIED_DIRECTORIES if is_dir else _DENIED_FILES:
        if fnmatch.fnmatchcase(lowered if "/" in pattern else name, f"*/{pattern}" if "/" in pattern else pattern):
            return pattern + ("/" if is_dir else "")
    return None


class Rules:
    """The rules of one root during one scan; ignore files are read once and not watched here."""

    def __init__(self, root: Path, never: Sequence[Path] = ()) -> None:
        self.root = root
        self._never = [os.path.realpath(path) for path in never]
        self._specs: dict[str, list[tuple[str, GitIgnoreSpec, list[str]]]] = {}

    def refusal(self, relpath: str, *, is_dir: bool) -> str | None:
        """Why this entry is left out, or None. The directories above it must have been asked before."""
        if denied(relpath, is_dir=is_dir):
            return f"it may hold secrets (built-in deny list: {denying_pattern(relpath, is_dir=is_dir)})"
        absolute = os.path.join(self.root, relpath)
        if any(absolute == own or absolute.startswith(own + os.sep) for own in self._never):
            return "it belongs to localmind itself"
        asked = relpath + "/" if is_dir else relpath
        result = _noise.check_file(asked)
        verdict, index = result.include, result.index
        source, lines = "the built-in list of hidden and generated files", _NOISE_LINES
        parent = relpath.rpartition("/")[0]
        for directory in _directories(parent):
            below = relpath[len(directory) + 1 :] if directory else relpath
            for name, spec, patterns in self._ignores(directory):
                result = spec.check_file(below + "/" if is_dir else below)
                if result.include is not None:
                    verdict, index, source, lines = result.include, result.index, name, patterns
        if not verdict:
            return None
        return f"excluded by {source}" + (f": {lines[index].strip()}" if index is not None else "")

    def explain(self, relpath: str, *, is_dir: bool) -> str | None:
        """Like `refusal`, asking every directory on the way down first."""
        parts = relpath.split("/")
        for count in range(1, len(parts) + 1):
            part = "/".join(parts[:count])
            directory = count < len(parts) or is_dir
            reason = self.refusal(part, is_dir=directory)
            if reason is not None:
                return reason if count == len(parts) else f"its directory {part}/ is left out: {reason}"
            if os.path.islink(os.path.join(self.root, part)):
                return "it is a symbolic link" if count == len(parts) else f"its directory {part}/ is a symbolic link"
        return None

    def _ignores(self, directory: str) -> list[tuple[str, GitIgnoreSpec, list[str]]]:
        if directory not in self._specs:
            found = []
            for name in IGNORE_FILES:
                lines = read_ignore_file(os.path.join(self.root, directory, name))
                if lines:
                    shown = f"{directory}/{name}" if directory else name
                    found.append((shown, GitIgnoreSpec.from_lines(lines), lines))
            self._specs[directory] = found
        return self._specs[directory]


def read_ignore_file(path: str) -> list[str]:
    """The usable patterns of an ignore file; none if it is absent, a link, not a file or unreadable."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as stream:
            lines = stream.read(IGNORE_BYTES).decode("utf-8", "replace").splitlines()[:IGNORE_LINES]
    except OSError:
        return []
    return [line for line in lines if _usable(line)]


def _usable(line: str) -> bool:
    if not line.strip() or line.startswith("#") or len(line) > PATTERN_LENGTH or line.count("*") > PATTERN_STARS:
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:  # GitIgnorePatternError is one: git itself ignores a pattern that it cannot read
        return False
    return True


def _directories(parent: str) -> list[str]:
    """ "", "a", "a/b" for "a/b"."""
    if not parent:
        return [""]
    parts = parent.split("/")
    return ["", *("/".join(parts[:count]) for count in range(1, len(parts) + 1))]
