"""Which package index this machine uses: what the user already told pip or uv, so that localmind asks nobody else.

Reads the environment and pip's configuration files, and never writes them. LOCALMIND_INDEX_URL and
LOCALMIND_WHEELS come first, for those who want something else for models. Only http(s) indexes and
local directories are understood; anything else is left out.
"""

import configparser
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

PYPI = "https://pypi.org/simple"
LARGEST_FILE = 1 << 20


@dataclass(slots=True, frozen=True)
class IndexConfig:
    """Where wheels may come from, in the order to ask."""

    indexes: tuple[str, ...] = (PYPI,)
    """Base URLs of simple indexes, without a slash at the end; may hold credentials. Empty: no index is allowed."""
    directories: tuple[Path, ...] = ()
    """Local directories that may hold the wheels."""
    ca_file: Path | None = None
    """Certificates to trust instead of the bundled ones."""
    proxy: str | None = None
    """From pip's configuration; the usual *_PROXY variables are obeyed besides."""

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ, files: tuple[Path, ...] | None = None) -> "IndexConfig":
        pip = _pip_options(environ, config_files(environ) if files is None else files)
        main = environ.get("LOCALMIND_INDEX_URL") or pip.get("index-url") or environ.get("UV_DEFAULT_INDEX")
        main = main or environ.get("UV_INDEX_URL") or PYPI
        more = "" if environ.get("LOCALMIND_INDEX_URL") else pip.get("extra-index-url", "")
        more += " " + environ.get("UV_EXTRA_INDEX_URL", "")
        urls = [url.rstrip("/") for url in (*main.split(), *more.split()) if url.startswith(("http://", "https://"))]
        if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") and not environ.get("LOCALMIND_INDEX_URL"):
            urls = []
        places = (*environ.get("LOCALMIND_WHEELS", "").split(os.pathsep), *pip.get("find-links", "").split())
        certificates = (pip.get("cert"), environ.get("SSL_CERT_FILE"), environ.get("REQUESTS_CA_BUNDLE"))
        return cls(
            indexes=tuple(dict.fromkeys(urls)),
            directories=tuple(path for path in map(_directory, places) if path is not None),
            ca_file=next((Path(name) for name in certificates if name and Path(name).is_file()), None),
            proxy=pip.get("proxy"),
        )


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """pip's configuration files, the strongest last (pip documentation, "Configuration")."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return ()
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "~").expanduser()
    name = "pip.ini" if platform.system() == "Windows" else "pip.conf"
    if platform.system() == "Windows":
        found = [
            Path(environ.get("PROGRAMDATA", "C:\\ProgramData")) / "pip" / name,
            home / "pip" / name,
            Path(environ.get("APPDATA", str(home))) / "pip" / name,
        ]
    else:
        shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        found = [Path(directory) / "pip" / name for directory in reversed(shared.split(":")) if directory]
        found += [Path("/etc") / name]
        if platform.system() == "Darwin":
            found += [
                Path("/Library/Application Support/pip") / name,
                home / "Library/Application Support/pip" / name,
            ]
        found += [home / ".pip" / name, Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / name]
    found += [Path(sys.prefix) / name]
    return (*found, Path(own)) if own else tuple(found)


def without_credentials(url: str) -> str:
    """The URL as it may be shown to people and written to logs."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host, query="").geturl()


def _pip_options(environ: Mapping[str, str], files: tuple[Path, ...]) -> dict[str, str]:
    options: dict[str, str] = {}
    for path in files:
        try:
            if path.stat().st_size > LARGEST_FILE:
                continue
            parser = configparser.RawConfigParser(strict=False)
            parser.read_string(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            # Not ours to judge: pip itself tells its user about a broken file.
            continue
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                options |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for key in ("index-url", "extra-index-url", "find-links", "no-index", "cert", "proxy"):
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            options[key] = value
    return options


def _directory(place: str) -> Path | None:
    if place.startswith("file://"):
        place = unquote(urlsplit(place).path)
    if not place or "://" in place:
        return None
    path = Path(place).expanduser()
    return path if path.is_dir() else None
