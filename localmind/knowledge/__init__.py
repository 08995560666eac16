"""Your folders: what may be read, how it is cut into passages, and how a passage is found again.

SQLite holds the truth (files, chunks, vectors by text hash); Chroma is a cache of it that may be
deleted at any time. Modules named `*_worker` run in worker processes and may import native
libraries; every other module here runs in the daemon and must not.
"""
