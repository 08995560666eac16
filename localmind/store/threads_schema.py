"""The tables of `threads.db` as numbered migrations.

A migration never changes once shipped; a new column is a new number. Deleting a thread deletes
everything under it by cascade, so no other code has to remember the tables.
"""

from localmind.store.connection import Migration

MIGRATIONS = (
    Migration(
        1,
        "threads, turns, messages, sources",
        """
CREATE TABLE thread (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    folder TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX thread_by_use ON thread (updated_at);
CREATE TABLE turn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    UNIQUE (thread_id, number)
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn_id INTEGER NOT NULL REFERENCES turn (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    content TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('streaming', 'done', 'stopped', 'failed')),
    model TEXT,
    finish_reason TEXT,
    error TEXT,
    usage TEXT,
    timings TEXT,
    created_at REAL NOT NULL,
    finished_at REAL
);
CREATE INDEX message_by_turn ON message (turn_id);
CREATE INDEX message_streaming ON message (state) WHERE state = 'streaming';
CREATE TABLE source (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL,
    page INTEGER,
    heading TEXT,
    text TEXT NOT NULL,
    score REAL NOT NULL,
    chunk_id INTEGER NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
""",
    ),
)
