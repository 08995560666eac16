"""Gives the tests of this room their running app."""

from tui_driver import start

__all__ = ["start"]
