"""Which files a search or a question may look at, as bodies of the native API say it."""

from pydantic import BaseModel, Field

from localmind.knowledge.scope import Filters, parse_date


class Filtered(BaseModel):
    """Part of every body that looks into the watched folders."""

    glob: str | None = Field(None, min_length=1, max_length=400)
    """`*.md` for a name anywhere, `notes/*.md` for a path below the watched folder."""
    type: str | None = Field(None, min_length=1, max_length=40)
    """"pdf", "markdown", "code", "mail" and so on, or a suffix such as ".rs"."""
    after: str | None = None
    """Changed on or after this date: 2026-05-31, 2026-05 or 2026."""
    before: str | None = None
    """Changed before this date."""

    def filters(self) -> Filters:
        """Raises InvalidRequest for a type or a date that does not exist."""
        filters = Filters(
            glob=self.glob,
            kind=self.type,
            after=parse_date(self.after) if self.after else None,
            before=parse_date(self.before) if self.before else None,
        )
        filters.check()
        return filters
