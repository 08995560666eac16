"""SQLite: how databases are opened and migrated, and the threads that people talk in."""
