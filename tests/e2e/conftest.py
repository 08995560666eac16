"""Fixtures of the end-to-end tests; what they are made of is in conftest_e2e, which tests may import."""

from conftest_e2e import bare_home, home, served, strangers

__all__ = ["bare_home", "home", "served", "strangers"]
