"""The parts of the screen, one a file. None of them knows the daemon."""
