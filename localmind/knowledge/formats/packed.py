"""Documents that are zips of XML (DOCX, XLSX, PPTX, ODF, EPUB), opened under bounds.

A few kilobytes can unfold to gigabytes, so the declared sizes are added up before anything is
unfolded; zipfile never yields more than a member declares. XML is parsed without a DTD, entities,
the network or huge trees. What the members mean is the business of each format.
"""

import io
import posixpath
import zipfile
import zlib
from typing import Any

from lxml import etree

from localmind.errors import ExtractFailed

# Bytes after unfolding: of all members, and of one XML member (its tree takes about ten times as much).
UNFOLDED_LIMIT = 300 * 1024 * 1024
XML_LIMIT = 60 * 1024 * 1024
MEMBERS_LIMIT = 20_000

BROKEN = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, SyntaxError, OSError, EOFError, NotImplementedError)
"""What reading a damaged zip, its members or their XML raises; lxml's XMLSyntaxError is a SyntaxError."""


class Packed:
    """An open zip. `name` is what the user calls the format, for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except BROKEN as error:
            raise ExtractFailed(f"this {name} is broken: {error}") from error
        members = self._zip.infolist()
        if len(members) > MEMBERS_LIMIT or sum(member.file_size for member in members) > UNFOLDED_LIMIT:
            raise ExtractFailed(f"this {name} unfolds to more than localmind reads")
        if any(member.flag_bits & 1 for member in members):
            raise ExtractFailed(f"this {name} is encrypted", hint="save a copy without a password")
        self.members = frozenset(member.filename for member in members)

    def read(self, member: str) -> bytes:
        """The bytes of a member; ExtractFailed when it is missing or damaged."""
        try:
            return self._zip.read(member)
        except BROKEN as error:
            raise ExtractFailed(f"this {self.name} is broken: {error}") from error

    def xml(self, member: str) -> Any:
        """The root element of a member."""
        data = self.read(member)
        if len(data) > XML_LIMIT:
            raise ExtractFailed(f"this {self.name} unfolds to more than localmind reads")
        try:
            return parse_xml(data)
        except BROKEN as error:
            raise ExtractFailed(f"this {self.name} is broken: {error}") from error

    def related(self, member: str) -> dict[str, str]:
        """Relation id → member, of an Office part: links out of the document are left out."""
        folder, name = posixpath.split(member)
        rels = f"{folder}/_rels/{name}.rels"
        if rels not in self.members:
            return {}
        found = {}
        for relation in self.xml(rels):
            if relation.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, relation.get("Target") or ""))
                found[str(relation.get("Id"))] = target.lstrip("/")
        return found


def parse_xml(data: bytes) -> Any:
    """The root element. Entities stay unexpanded, nothing outside `data` is read; SyntaxError if it is not XML."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(data, parser)


def local(element: Any) -> str:
    """The tag without its namespace; "" for what is no element (an entity left unexpanded)."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str | None:
    """An attribute by its local name, whatever namespace the writer chose."""
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)
