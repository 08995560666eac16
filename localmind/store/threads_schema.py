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
    Migration(
        2,
        "branches, reasoning, attachments, full-text search",
        """
-- The message that a turn follows; NULL for a first one. Not a foreign key: SQLite follows at most 1,000 cascades.
ALTER TABLE turn ADD COLUMN parent INTEGER;
ALTER TABLE turn ADD COLUMN mode TEXT NOT NULL DEFAULT 'files';
ALTER TABLE turn ADD COLUMN folder TEXT;
ALTER TABLE thread ADD COLUMN tip INTEGER;
ALTER TABLE thread ADD COLUMN options TEXT;
ALTER TABLE message ADD COLUMN reasoning TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN attachments TEXT;
UPDATE turn SET parent = (
    SELECT max(message.id) FROM message JOIN turn AS earlier ON earlier.id = message.turn_id
    WHERE earlier.thread_id = turn.thread_id AND earlier.number = turn.number - 1
);
UPDATE thread SET tip = (
    SELECT message.id FROM message JOIN turn ON turn.id = message.turn_id
    WHERE turn.thread_id = thread.id ORDER BY turn.number DESC, message.id DESC LIMIT 1
);
CREATE INDEX turn_by_parent ON turn (thread_id, parent);
CREATE VIRTUAL TABLE message_fts USING fts5 (
    content, content = 'message', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO message_fts (rowid, content) SELECT id, content FROM message WHERE state <> 'streaming';
-- An answer is indexed when it ends: one that grows four times a second would be indexed a hundred times.
CREATE TRIGGER message_said AFTER INSERT ON message WHEN new.state <> 'streaming' BEGIN
    INSERT INTO message_fts (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER message_ended AFTER UPDATE OF state ON message
WHEN old.state = 'streaming' AND new.state <> 'streaming' BEGIN
    INSERT INTO message_fts (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER message_forgotten AFTER DELETE ON message WHEN old.state <> 'streaming' BEGIN
    INSERT INTO message_fts (message_fts, rowid, content) VALUES ('delete', old.id, old.content);
END;
""",
    ),
    Migration(3, "filters of a question", "ALTER TABLE turn ADD COLUMN filters TEXT"),
    Migration(
        4,
        "images of a question",
        """
-- The bytes stand once, however often a question is worded anew, and go with the last message that has them.
CREATE TABLE image_data (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE image (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL REFERENCES image_data (sha256),
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX image_by_data ON image (sha256);
CREATE TRIGGER image_forgotten AFTER DELETE ON image
WHEN NOT EXISTS (SELECT 1 FROM image WHERE sha256 = old.sha256) BEGIN
    DELETE FROM image_data WHERE sha256 = old.sha256;
END;
""",
    ),
)
