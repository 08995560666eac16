"""The schema of the knowledge database: roots, files, chunks, their full-text index and vectors.

A chunk's `stage` says how far it is: 0 no vector yet, 1 its vector is stored, 2 Chroma has it too.
All queues are read from these rows, so no queue can disagree with them after a crash. Vectors are
keyed by the hash of the embedded text: a rename, a copy or a rebuild never embeds again.
"""

from localmind.store.connection import Migration

NO_VECTOR, STORED, PLACED = 0, 1, 2

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE root (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    added_at REAL NOT NULL,
    problem TEXT
);

CREATE TABLE file (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root_id INTEGER NOT NULL REFERENCES root(id),
    relpath TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,      -- 0 when it was so fresh that it must be read once more
    content_hash BLOB,
    recipe TEXT NOT NULL,           -- version of parser and chunker, and the embedder whose tokens were counted
    state TEXT NOT NULL CHECK (state IN ('indexed', 'skipped', 'failed')),
    reason TEXT,
    indexed_at REAL NOT NULL,
    UNIQUE (root_id, relpath)
);

CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- also the id in Chroma, hence never used twice
    file_id INTEGER NOT NULL REFERENCES file(id),
    root_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    path TEXT NOT NULL,                     -- the file's relpath again, for the full-text index
    heading TEXT,
    text TEXT NOT NULL,
    text_hash BLOB NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL,
    page INTEGER,
    stage INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX chunk_of_file ON chunk (file_id, ordinal);
CREATE INDEX chunk_by_hash ON chunk (text_hash);
CREATE INDEX chunk_waiting ON chunk (stage, id) WHERE stage < 2;
CREATE INDEX chunk_of_root ON chunk (root_id, stage);

CREATE VIRTUAL TABLE chunk_fts USING fts5 (
    text, heading, path, content = 'chunk', content_rowid = 'id', tokenize = 'porter unicode61'
);

CREATE TABLE vector (
    text_hash BLOB NOT NULL,
    model TEXT NOT NULL,
    data BLOB NOT NULL,                     -- float32, little-endian, unit length
    PRIMARY KEY (text_hash, model)
);

-- What Chroma still holds and should not.
CREATE TABLE stale (root_id INTEGER NOT NULL, chunk_id INTEGER NOT NULL, PRIMARY KEY (root_id, chunk_id)) WITHOUT ROWID;

CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk BEGIN
    INSERT INTO chunk_fts (rowid, text, heading, path) VALUES (new.id, new.text, new.heading, new.path);
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
    INSERT INTO chunk_fts (chunk_fts, rowid, text, heading, path)
        VALUES ('delete', old.id, old.text, old.heading, old.path);
    INSERT OR IGNORE INTO stale SELECT old.root_id, old.id WHERE old.stage = 2;
END;
CREATE TRIGGER chunk_renamed AFTER UPDATE OF text, heading, path ON chunk BEGIN
    INSERT INTO chunk_fts (chunk_fts, rowid, text, heading, path)
        VALUES ('delete', old.id, old.text, old.heading, old.path);
    INSERT INTO chunk_fts (rowid, text, heading, path) VALUES (new.id, new.text, new.heading, new.path);
END
"""

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""Of the full-text index; another one needs a migration that builds it anew."""

# `extra`: pairs of characters of languages without blanks, parts of camelCase names (language.py).
_EXTRA = f"""
ALTER TABLE chunk ADD COLUMN extra TEXT NOT NULL DEFAULT '';
DROP TRIGGER chunk_inserted;
DROP TRIGGER chunk_deleted;
DROP TRIGGER chunk_renamed;
DROP TABLE chunk_fts;

CREATE VIRTUAL TABLE chunk_fts USING fts5 (
    text, heading, path, extra, content = 'chunk', content_rowid = 'id',
    tokenize = '{TOKENIZER}'
);
INSERT INTO chunk_fts (chunk_fts) VALUES ('rebuild');

CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk BEGIN
    INSERT INTO chunk_fts (rowid, text, heading, path, extra)
        VALUES (new.id, new.text, new.heading, new.path, new.extra);
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
    INSERT INTO chunk_fts (chunk_fts, rowid, text, heading, path, extra)
        VALUES ('delete', old.id, old.text, old.heading, old.path, old.extra);
    INSERT OR IGNORE INTO stale SELECT old.root_id, old.id WHERE old.stage = 2;
END;
CREATE TRIGGER chunk_renamed AFTER UPDATE OF text, heading, path, extra ON chunk
WHEN (old.text, old.heading, old.path, old.extra) IS NOT (new.text, new.heading, new.path, new.extra) BEGIN
    INSERT INTO chunk_fts (chunk_fts, rowid, text, heading, path, extra)
        VALUES ('delete', old.id, old.text, old.heading, old.path, old.extra);
    INSERT INTO chunk_fts (rowid, text, heading, path, extra)
        VALUES (new.id, new.text, new.heading, new.path, new.extra);
END
"""

# `edited` orders the queue of vectors: what somebody saved last goes first, however much is being read.
# What leaves the full-text index or Chroma leaves traces in their files: `meta` says since when (see traces.py).
_TRACES = """
ALTER TABLE chunk ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;     -- Unix seconds
DROP INDEX chunk_waiting;
CREATE INDEX chunk_waiting ON chunk (stage, edited, id) WHERE stage < 2;

CREATE TRIGGER chunk_leaves_traces AFTER DELETE ON chunk BEGIN
    INSERT OR IGNORE INTO meta VALUES ('traces_of_text', strftime('%s', 'now'));
END;
CREATE TRIGGER vector_leaves_traces AFTER DELETE ON stale BEGIN
    INSERT OR IGNORE INTO meta VALUES ('traces_of_vectors', strftime('%s', 'now'));
END
"""

# The words of a chunk are added and removed by fulltext.py: a trigger costs a segment a row.
_NO_TRIGGERS = """
DROP TRIGGER chunk_inserted;
DROP TRIGGER chunk_renamed;
DROP TRIGGER chunk_deleted;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk WHEN old.stage = 2 BEGIN
    INSERT OR IGNORE INTO stale VALUES (old.root_id, old.id);
END
"""

# By the hash of the file's bytes; gone with the last file that has them.
_TRANSCRIPTS = """
CREATE TABLE transcript (
    content_hash BLOB PRIMARY KEY,
    said BLOB NOT NULL,                     -- msgpack: (second, text), …
    until INTEGER NOT NULL,                 -- samples heard so far, 16,000 a second
    language TEXT NOT NULL,
    done INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER transcript_of_deleted AFTER DELETE ON file
WHEN EXISTS (SELECT 1 FROM transcript WHERE content_hash = old.content_hash)
AND NOT EXISTS (SELECT 1 FROM file WHERE content_hash = old.content_hash) BEGIN
    DELETE FROM transcript WHERE content_hash = old.content_hash;
    INSERT OR IGNORE INTO meta VALUES ('traces_of_text', strftime('%s', 'now'));
END;
CREATE TRIGGER transcript_of_changed AFTER UPDATE OF content_hash ON file
WHEN old.content_hash IS NOT new.content_hash
AND EXISTS (SELECT 1 FROM transcript WHERE content_hash = old.content_hash)
AND NOT EXISTS (SELECT 1 FROM file WHERE content_hash = old.content_hash) BEGIN
    DELETE FROM transcript WHERE content_hash = old.content_hash;
    INSERT OR IGNORE INTO meta VALUES ('traces_of_text', strftime('%s', 'now'));
END
"""

# What single words of a chunk say (late.py). A vector without it was made by an older version: it gets one when
# there is nothing else to do.
_SKETCHES = """
ALTER TABLE vector ADD COLUMN sketched INTEGER NOT NULL DEFAULT 0;
CREATE INDEX vector_unsketched ON vector (model) WHERE sketched = 0;
CREATE TABLE sketch (
    text_hash BLOB NOT NULL,
    model TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (text_hash, model)
);
CREATE TRIGGER sketch_of_vector AFTER DELETE ON vector BEGIN
    DELETE FROM sketch WHERE text_hash = old.text_hash AND model = old.model;
END
"""

MIGRATIONS = (
    Migration(1, "roots, files, chunks, vectors", _FIRST),
    Migration(2, "words of languages without blanks, parts of camelCase names", _EXTRA),
    Migration(3, "newest edits first, traces of what was deleted", _TRACES),
    Migration(4, "words of chunks without triggers", _NO_TRIGGERS),
    Migration(5, "what is said in recordings", _TRANSCRIPTS),
    Migration(6, "what single words of a chunk say", _SKETCHES),
)
