"""Tables that can be printed as Markdown and shown on a page."""

import html
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column is for names, the others are for numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def only(self, names: Sequence[str]) -> "Table":
        """The rows of these names."""
        return Table(self.header, tuple(row for row in self.rows if row[0] in names))

    def markdown(self) -> str:
        """As Markdown."""
        lines = [self.header, ("---",) + ("---:",) * (len(self.header) - 1), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """As HTML."""
        def line(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        return f"<table><thead>{line(self.header, 'th')}</thead><tbody>{body}</tbody></table>"
