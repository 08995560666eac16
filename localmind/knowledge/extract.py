"""Bytes of a file to text that can be cited: the registry of kinds, decoding, and what a parser returns.

Text, Markdown, tables, source code and JSON keep the file's own lines; HTML keeps them too, since markup is
taken out of a line but no line is taken out of the file. A PDF is cited by page, slides and sheets too; of
other documents line N is the Nth paragraph or table row. Parsers (formats/) are hostile ground: they run
in the extract worker's child, under limits, and never in the daemon. Which suffix is read how is decided
here and nowhere else; the daemon imports only that table.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from localmind.errors import ExtractFailed
from localmind.plaintext import decode, looks_binary
from localmind.speech import RECORDINGS

# Part of a file's recipe: raise it when the same bytes would give other text, and everything is read again.
VERSION = 3

# Bytes; a bigger file is skipped with its reason.
TEXT_LIMIT = 20 * 1024 * 1024
DOCUMENT_LIMIT = 100 * 1024 * 1024
# Three hours of uncompressed stereo; a recording is never in memory whole.
RECORDING_LIMIT = 2 * 1024**3


def words(text: str) -> list[str]:
    """The words of a text: keeps long tables of names readable."""
    return text.split()


_SUFFIXES = {
    "markdown": ".md .markdown .mdown .mkd .mdx .qmd .rmd",
    "html": ".html .htm .xhtml",
    "pdf": ".pdf",
    "docx": ".docx .docm",
    "odf": ".odt .ott .odp .ods",
    "pptx": ".pptx .pptm .ppsx",
    "xlsx": ".xlsx .xlsm",
    "epub": ".epub",
    "mail": ".eml",
    "notebook": ".ipynb",
    "json": ".json .geojson .webmanifest",
    "csv": ".csv .tsv",
    "rst": ".rst",
    "org": ".org",
    "asciidoc": ".adoc .asciidoc .wiki .mediawiki",
    "latex": ".tex .ltx .sty",
    "plain": ".txt .text",
    "text": ".log .bib .srt .vtt .ics .vcf .toml .ini .cfg .conf .yaml .yml "
    ".jsonl .ndjson .xml .xsl .xsd .svg .css .scss .less .properties .diff .patch .po .page",
    "bash": ".sh .bash .zsh .ksh",
    "c": ".c .h",
    "cpp": ".cc .cpp .cxx .hh .hpp .hxx .ipp",
    "csharp": ".cs",
    "go": ".go",
    "java": ".java",
    "javascript": ".js .jsx .mjs .cjs",
    "php": ".php",
    "python": ".py .pyi .pyw",
    "ruby": ".rb",
    "rust": ".rs",
    "typescript": ".ts .tsx .mts .cts",
    "code": ".m .mm .kt .kts .scala .swift .pl .pm .lua .r .jl "
    ".dart .vue .svelte .fish .ps1 .bat .sql .hs .ml .mli .ex .exs .erl "
    ".clj .el .lisp .vim .cmake .gradle .tf .proto .graphql .zig .nim .v .asm .s",
}
RECORDING = "recording"
"""Sound: what is said in it is heard elsewhere (recordings.py), and only cut here."""

KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
KINDS |= dict.fromkeys(RECORDINGS, RECORDING)
DOCUMENTS = frozenset({"pdf", "docx", "odf", "pptx", "xlsx", "epub", "mail"})
"""Kinds whose bytes are not text to be decoded."""

# Files of these suffixes are never opened. Anything not named anywhere is sniffed (kind "unknown").
BINARY = frozenset(
    words("""
.png .jpg .jpeg .gif .webp .bmp .ico .tif .tiff .heic .psd .raw .cr2 .nef .mp4
.mkv .mov .avi .webm .zip .gz .bz2 .xz .zst .7z .rar .tar .tgz .jar .war .whl .deb .rpm .dmg .iso .img .exe .dll .so
.dylib .a .o .obj .lib .class .pyc .pyo .wasm .bin .dat .db .sqlite .sqlite3 .mdb .gguf .safetensors .onnx .pt .pth
.npy .npz .parquet .arrow .feather .h5 .pkl .ttf .otf .woff .woff2 .eot .xls .ppt .doc .rtf
.odg .mobi .azw3 .swp .lock .part .crdownload .torrent
""")
)


def kind_of(name: str) -> str | None:
    """The parser for a file name: a kind, `unknown` (decide by its bytes), or None (never opened)."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in BINARY:
        return None
    return KINDS.get(suffix, "unknown")


def size_limit(kind: str) -> int:
    """The biggest file of a kind that is read, in bytes."""
    if kind == RECORDING:
        return RECORDING_LIMIT
    return DOCUMENT_LIMIT if kind in DOCUMENTS else TEXT_LIMIT


@dataclass(slots=True, frozen=True)
class Heading:
    """From character `start` on, the text stands under this trail, outermost first, joined by " > "."""

    start: int
    trail: str


@dataclass(slots=True, frozen=True)
class Extracted:
    """The text of a document. Lines end in "\\n" only, so that line N is the text between newlines N-1 and N."""

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] | None = None
    """Where page 1, 2, … begin, in characters; None for documents without pages."""


def extract(data: bytes, kind: str) -> Extracted:
    """Read `data` as `kind`. Raises ExtractFailed with a reason that a user understands."""
    if kind in DOCUMENTS:
        read: Callable[[bytes], Extracted] = importlib.import_module(f"localmind.knowledge.formats.{kind}").read
        return read(data)
    if looks_binary(data):
        raise ExtractFailed("this is not text", hint="nothing to do: localmind reads text and documents")
    return read_text(decode(data), kind)


def read_text(text: str, kind: str) -> Extracted:
    """Text that is decoded already, with its headings."""
    from localmind.knowledge import headings

    match kind:
        case "html":
            from localmind.knowledge.formats import html

            return html.read(text)
        case "json" | "notebook":
            from localmind.knowledge.formats import json_text

            return json_text.read(text) if kind == "json" else json_text.read_notebook(text)
        case "markdown":
            return Extracted(text, headings.markdown(text))
        case "org":
            return Extracted(text, headings.org(text))
        case "asciidoc":
            return Extracted(text, headings.asciidoc(text))
        case "latex":
            return Extracted(text, headings.latex(text))
        case "plain" | "rst":
            return Extracted(text, headings.underlined(text))
        case "csv":
            return Extracted(text, headings.first_row(text))
        case _:
            from localmind.knowledge.formats import code

            return code.read(text, kind)
