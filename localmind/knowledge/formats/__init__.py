"""One file a format: bytes or text of a document to text that can be cited.

Imported only in the extract worker's child, under its limits: every parser here is hostile ground.
Which file is read as what is decided in `knowledge/extract.py`. Nothing here opens a path, fetches a
link, runs a macro or writes; a broken document raises ExtractFailed with a reason a user understands.
"""
