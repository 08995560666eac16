"""Model files: where they come from, how they are moved and checked, and where they lie on disk."""
