"""Fixtures of the end-to-end tests; what they are made of is in conftest_e2e, which tests may import."""

import os

from conftest_e2e import bare_home, home, served

__all__ = ["bare_home", "home", "served"]

collect_ignore = [] if os.environ.get("LOCALMIND_TEST_EDITORS") else ["test_editors.py"]
"""Editors and their plugins are only there where somebody has put them: docs/api-tests.md says how."""
