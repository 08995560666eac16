"""Which index is asked follows what the user told pip, and credentials are never shown."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.models.pip_config import PYPI, IndexConfig, config_files, without_credentials


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_without_any_configuration_it_is_pypi() -> None:
    assert IndexConfig.find({}, ()) == IndexConfig((PYPI,), (), None, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PIP_INDEX_URL": "https://mirror/simple/"}, ("https://mirror/simple",)),
        ({"UV_INDEX_URL": "https://uv/simple"}, ("https://uv/simple",)),
        ({"UV_DEFAULT_INDEX": "https://new/simple", "UV_INDEX_URL": "https://uv/simple"}, ("https://new/simple",)),
        ({"PIP_INDEX_URL": "https://a/simple", "PIP_EXTRA_INDEX_URL": "https://b/s file:///c"}, ("https://a/simple", "https://b/s")),
        ({"LOCALMIND_INDEX_URL": "http://l/s", "PIP_INDEX_URL": "https://a/s", "PIP_EXTRA_INDEX_URL": "https://b/s"}, ("http://l/s",)),
        ({"PIP_NO_INDEX": "1"}, ()),
        ({"PIP_NO_INDEX": "1", "LOCALMIND_INDEX_URL": "http://l/s"}, ("http://l/s",)),
    ],
)  # fmt: skip
def test_the_environment_decides_in_this_order(environ: dict[str, str], expected: tuple[str, ...]) -> None:
    assert IndexConfig.find(environ, ()).indexes == expected


def test_a_later_configuration_file_wins_and_the_environment_wins_over_both(tmp_path: Path) -> None:
    system = write(tmp_path / "a", "[global]\nindex-url = https://system/simple\nproxy = http://p:1\n")
    user = write(tmp_path / "b", "[global]\nindex_url = https://user/simple\n[install]\nfind-links = .\n")
    assert IndexConfig.find({}, (system, user)).indexes == ("https://user/simple",)
    assert IndexConfig.find({}, (system, user)).proxy == "http://p:1"
    assert IndexConfig.find({"PIP_INDEX_URL": "https://env/s"}, (system, user)).indexes == ("https://env/s",)


def test_directories_come_from_localmind_wheels_and_from_find_links(tmp_path: Path) -> None:
    for name in ("one", "two", "with%20space"):
        (tmp_path / name.replace("%20", " ")).mkdir()
    environ = {
        "LOCALMIND_WHEELS": f"{tmp_path / 'one'}:{tmp_path / 'absent'}",
        "PIP_FIND_LINKS": f"https://host/links {tmp_path / 'two'} file://{tmp_path}/with%20space",
    }
    found = IndexConfig.find(environ, ()).directories
    assert found == (tmp_path / "one", tmp_path / "two", tmp_path / "with space")


def test_certificates_are_those_that_pip_uses_if_they_exist(tmp_path: Path) -> None:
    ca = write(tmp_path / "ca.pem", "x")
    assert IndexConfig.find({"PIP_CERT": str(ca), "SSL_CERT_FILE": "/absent"}, ()).ca_file == ca
    assert IndexConfig.find({"SSL_CERT_FILE": str(ca)}, ()).ca_file == ca
    assert IndexConfig.find({"SSL_CERT_FILE": "/absent"}, ()).ca_file is None


def test_pip_can_be_told_to_read_no_files_or_one_more() -> None:
    assert config_files({"PIP_CONFIG_FILE": "/dev/null"}) == ()
    assert config_files({"PIP_CONFIG_FILE": "/x/pip.conf", "HOME": "/home/me"})[-1] == Path("/x/pip.conf")
    assert Path("/home/me/.config/pip/pip.conf") in config_files({"HOME": "/home/me"})


def test_a_broken_configuration_file_is_pips_business_not_ours(tmp_path: Path) -> None:
    broken = write(tmp_path / "pip.conf", "index-url = no section\n[[[")
    assert IndexConfig.find({}, (broken, tmp_path / "absent", tmp_path)).indexes == (PYPI,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_no_configuration_file_is_strange_enough_to_crash_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "pip.conf"
    path.write_bytes(b"[global]\n" + data)
    IndexConfig.find({}, (path,))


def test_credentials_do_not_show() -> None:
    assert without_credentials("https://me:secret@host:8080/simple?token=1") == "https://host:8080/simple"
