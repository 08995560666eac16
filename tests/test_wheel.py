"""The wheel holds what it must and runs from anywhere: catalog, both packages, style sheet, nothing else."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINT_CATALOG = (
    "import localmind; from localmind.catalog import bundled; print(localmind.__file__, [m.name for m in bundled()])"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(place.glob("localmind_daemon-*.whl"))


def test_the_wheel_has_the_catalog_the_packages_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "localmind/models.toml" in names
    assert "localmind/cli/__init__.py" in names
    assert "localmind_tui/__init__.py" in names
    assert any(name.endswith(".tcss") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "samples/", "packaging/"))]


def test_the_catalog_loads_from_the_unpacked_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PRINT_CATALOG],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in done.stdout
    assert "smollm2:135m" in done.stdout


def test_the_catalog_loads_from_the_checkout() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_CATALOG],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(ROOT) in done.stdout
    assert "smollm2:135m" in done.stdout
