"""localmind: a private assistant that lives on one machine.

Importing this package costs nothing: every sub-package is imported where it is used, so that
`localmind --help` answers at once. The folders are described in README.md, section "The rooms".
"""

__version__ = "0.1.0"
