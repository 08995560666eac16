"""Fixtures of the end-to-end tests; what they are made of is in conftest_e2e, which tests may import.

Tests marked with what they need of the machine are left out where it is not there, and the head of the output says so.
"""

import pytest
from conftest_e2e import bare_home, home, served, strangers
from programs import here

__all__ = ["bare_home", "home", "served", "strangers"]

KNOWN = ("root", "network namespaces", "chromium", "nvim", "emacs", "llm", "aider")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): programs or rights of the machine (tests/e2e/programs.py)")


def pytest_report_header() -> str:
    found = [what for what in KNOWN if here(what)]
    missing = [what for what in KNOWN if not here(what)]
    absent = f"; not here, so its tests are left out: {', '.join(missing)}" if missing else ""
    return f"end to end with: {', '.join(found) or 'nothing but localmind'}{absent}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [item for item in items if not all(here(what) for mark in item.iter_markers("needs") for what in mark.args)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]
