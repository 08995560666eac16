"""The daemon: one process a home, its lock, its sockets, its start and its end."""
