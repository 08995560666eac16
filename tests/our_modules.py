"""All modules of ours, loaded before hypothesis draws its first example.

It also draws the numbers and words that stand in those of our modules that are loaded. Were that left to the tests,
the ones that a worker of pytest happened to have before would decide about the examples of the next.
"""

import importlib
import pkgutil

import localmind
import localmind_tui


def ours() -> list[str]:
    """Their names, but for those of programs."""
    packages = (localmind, localmind_tui)
    found = [module.name for each in packages for module in pkgutil.walk_packages(each.__path__, f"{each.__name__}.")]
    return [name for name in found if not name.endswith(".__main__")]


def load_all() -> None:
    for name in ours():
        importlib.import_module(name)
