"""How a printed page looks: type, spacing, tables. Knows nothing of certificates. Needs the extra `report` (fpdf2, matplotlib).

The letters are DejaVu Sans, which matplotlib carries; only the glyphs that occur are embedded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, cast

from unsee.core.errors import InvalidValue, MissingExtra

try:
    import matplotlib
    from fpdf import FPDF, FontFace
    from fpdf.enums import Align, MethodReturnValue, TableCellFillMode, VAlign, XPos, YPos
    from fpdf.errors import FPDFException
    from fpdf.image_parsing import preload_image
except ImportError:
    raise MissingExtra("report", needed_for="The printed certificate") from None

INK: Final = (28, 33, 40)
MUTED: Final = (96, 105, 117)
LINE: Final = (214, 219, 226)
PALE: Final = (244, 246, 249)
ACCENT: Final = (23, 78, 99)
_BODY, _SMALL, _TINY = 9.5, 8.2, 7.2
_MARGIN_MM = 20.0
_LABEL_MM = 34.0


class Tone(Enum):
    """The colour of a mark."""

    GOOD = (25, 112, 82)
    PLAIN = (70, 84, 102)
    WARN = (150, 92, 14)


class _Paper(FPDF):
    """A4 with a quiet footer on each page."""

    def __init__(self, footer: str) -> None:
        super().__init__(format="A4")
        self._footer = footer

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font("text", size=_TINY)
        self.set_text_color(*MUTED)
        self.cell(0, 5, self._footer)
        self.set_y(-14)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align=Align.R)


class Sheet:
    """A document that grows from top to bottom."""

    def __init__(self, *, title: str, author: str, created: datetime, footer: str) -> None:
        logging.getLogger("fontTools").setLevel(logging.ERROR)  # subsetting a font is told line by line otherwise
        self._pdf = pdf = _Paper(footer)
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        pdf.add_font("text", fname=fonts / "DejaVuSans.ttf")
        pdf.add_font("text", style="B", fname=fonts / "DejaVuSans-Bold.ttf")
        pdf.set_margins(_MARGIN_MM, 18, _MARGIN_MM)
        pdf.c_margin = 0
        pdf.set_auto_page_break(True, margin=20)
        pdf.set_title(title)
        pdf.set_author(author)
        pdf.set_lang("en")
        pdf.set_creation_date(created)
        pdf.set_producer("unsee")
        pdf.add_page()

    def finish(self) -> bytes:
        """The PDF."""
        return bytes(self._pdf.output())

    def attach(self, name: str, data: bytes, description: str) -> None:
        """Embed a file. Its dates are left out, so that the same file gives the same bytes."""
        self._pdf.embed_file(bytes=data, basename=name, desc=description, mime_type="application/json")

    # ---- page one

    def title(self, text: str, below: str) -> None:
        """The head of the document."""
        self._font(22, bold=True, colour=ACCENT)
        self._line(text, 10)
        self._font(_BODY, colour=MUTED)
        self._line(below, 6)
        self._rule(3, 5)

    def answer(self, question: str, text: str) -> None:
        """A question in the margin and its answer beside it."""
        pdf = self._pdf
        self._room(14)
        top = pdf.get_y()
        self._font(_BODY, bold=True, colour=ACCENT)
        pdf.multi_cell(_LABEL_MM - 2, 5.2, question, align=Align.L)
        below = pdf.get_y()
        pdf.set_xy(_MARGIN_MM + _LABEL_MM, top)
        self._font(_BODY + 0.3)
        pdf.multi_cell(0, 5.2, text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        pdf.set_y(max(below, pdf.get_y()) + 3.6)

    def box(self, text: str) -> None:
        """A paragraph on a pale ground."""
        pdf = self._pdf
        self._font(_BODY)
        width = pdf.epw - 10
        measured = pdf.multi_cell(width, 5.2, text, align=Align.L, dry_run=True, output=MethodReturnValue.HEIGHT)
        height = cast(float, measured)
        self._room(height + 12)
        top = pdf.get_y() + 2
        pdf.set_fill_color(*PALE)
        pdf.rect(_MARGIN_MM, top, pdf.epw, height + 8, style="F")
        pdf.set_fill_color(*ACCENT)
        pdf.rect(_MARGIN_MM, top, 1.2, height + 8, style="F")
        pdf.set_xy(_MARGIN_MM + 6, top + 4)
        pdf.multi_cell(width, 5.2, text, align=Align.L)
        pdf.set_y(top + height + 12)

    def small(self, text: str) -> None:
        """A line in small grey type."""
        self._font(_TINY, colour=MUTED)
        self._line(text, 4)

    # ---- the flow

    def page(self) -> None:
        """Begin a page."""
        self._pdf.add_page()

    def heading(self, text: str, *, keep_mm: float = 34) -> None:
        """A heading that stays with at least `keep_mm` of what follows."""
        self._room(keep_mm)
        if self._pdf.get_y() > 25:
            self._pdf.ln(4)
        self._font(12.5, bold=True, colour=ACCENT)
        self._paragraph(text, 7)
        self._pdf.ln(1.5)

    def text(self, text: str) -> None:
        """A paragraph."""
        self._font(_BODY)
        self._paragraph(text, 5.2)
        self._pdf.ln(1.6)

    def note(self, text: str) -> None:
        """A paragraph in small grey type."""
        self._font(_SMALL, colour=MUTED)
        self._paragraph(text, 4.4)
        self._pdf.ln(1.2)

    def item(self, head: str, text: str) -> None:
        """A bold line and a paragraph below it."""
        self._room(22)
        self._font(_BODY, bold=True)
        self._paragraph(head, 5.2)
        self._font(_SMALL + 0.4)
        self._paragraph(text, 4.7)
        self._pdf.ln(2)

    def list_or_none(self, head: str, entries: Sequence[str], none: str) -> None:
        """A list with its head; where it is empty, the words that say so."""
        self._room(14)
        if head:
            self._font(_BODY, bold=True)
            self._paragraph(head if entries else f"{head}: {none}", 5.2)
        elif not entries:
            self.text(none)
        self._font(_SMALL + 0.4)
        for entry in entries:
            self._room(8)
            self._pdf.set_x(_MARGIN_MM + 1)
            self._pdf.cell(4, 4.7, "•")
            self._pdf.multi_cell(0, 4.7, entry, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self._pdf.ln(0.6)
        self._pdf.ln(1.6)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values, one below the other."""
        for name, value in rows:
            self._room(10)
            top = self._pdf.get_y()
            self._font(_SMALL, colour=MUTED)
            self._pdf.multi_cell(_LABEL_MM - 2, 4.7, name, align=Align.L)
            below = self._pdf.get_y()
            self._pdf.set_xy(_MARGIN_MM + _LABEL_MM, top)
            self._font(_SMALL + 0.4)
            self._pdf.multi_cell(0, 4.7, value, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self._pdf.set_y(max(below, self._pdf.get_y()) + 0.9)
        self._pdf.ln(2)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        widths: Sequence[float],
        *,
        right: Iterable[int] = (),
    ) -> None:
        """A table; its head repeats on each page. `right` names the columns of numbers."""
        if not rows:
            self.note("none")
            return
        columns = set(right)
        aligns = [Align.R if i in columns else Align.L for i in range(len(head))]
        self._font(_SMALL)
        self._pdf.set_draw_color(*LINE)
        self._pdf.set_fill_color(255)
        with self._pdf.table(
            col_widths=tuple(widths),
            text_align=aligns,
            line_height=4.6,
            padding=(1.3, 1.6),
            v_align=VAlign.T,
            borders_layout="HORIZONTAL_LINES",
            cell_fill_mode=TableCellFillMode.NONE,
            headings_style=FontFace(emphasis="BOLD", color=MUTED, fill_color=PALE),
        ) as table:
            table.row(list(head))
            for row in rows:
                table.row(list(row))
        self._pdf.ln(2.5)

    def picture(self, path: Path) -> None:
        """A picture over the full width, whole on one page.

        Raises:
            InvalidValue: it cannot be read.
        """
        try:
            info = preload_image(self._pdf.image_cache, path)[2]
        except (OSError, ValueError, FPDFException) as error:
            raise InvalidValue(f"The plot {path.name} cannot be read: {error}.", next_step="Give a PNG.") from None
        width = self._pdf.epw
        height = width * cast(float, info["h"]) / cast(float, info["w"])
        if height > 150:
            width, height = width * 150 / height, 150.0
        self._room(height + 4)
        left = _MARGIN_MM + (self._pdf.epw - width) / 2
        self._pdf.image(path, x=left, w=width, h=height, alt_text="Accuracy before and after")
        self._pdf.ln(3)

    def claim(self, name: str, statement: str, mark: str, tone: Tone) -> None:
        """One claim: its id, what it rests on, its sentence."""
        self._room(14)
        self._font(_SMALL, bold=True)
        self._pdf.cell(self._pdf.epw - 52, 4.8, name)
        self._font(_TINY, bold=True, colour=tone.value)
        self._pdf.cell(52, 4.8, mark, align=Align.R, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._font(_SMALL)
        self._paragraph(statement, 4.5)
        self._rule(1.2, 1.8)

    def lines_to_sign(self, labels: Sequence[str]) -> None:
        """Empty lines for a hand."""
        pdf = self._pdf
        pdf.ln(4)
        for label in labels:
            self._room(14)
            self._font(_SMALL, colour=MUTED)
            pdf.cell(_LABEL_MM, 9, label)
            y = pdf.get_y() + 8
            pdf.set_draw_color(*INK)
            pdf.set_line_width(0.25)
            pdf.line(_MARGIN_MM + _LABEL_MM, y, _MARGIN_MM + 130, y)
            pdf.ln(12)

    # ---- inside

    def _font(self, size: float, *, bold: bool = False, colour: tuple[int, int, int] = INK) -> None:
        self._pdf.set_font("text", style="B" if bold else "", size=size)
        self._pdf.set_text_color(*colour)

    def _line(self, text: str, height_mm: float) -> None:
        self._pdf.cell(0, height_mm, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _paragraph(self, text: str, height_mm: float) -> None:
        self._pdf.multi_cell(0, height_mm, text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _room(self, height_mm: float) -> None:
        """Turn the page where less than `height_mm` is left on it."""
        if self._pdf.will_page_break(height_mm):
            self._pdf.add_page()

    def _rule(self, before_mm: float, after_mm: float) -> None:
        y = self._pdf.get_y() + before_mm
        self._pdf.set_draw_color(*LINE)
        self._pdf.set_line_width(0.2)
        self._pdf.line(_MARGIN_MM, y, _MARGIN_MM + self._pdf.epw, y)
        self._pdf.set_y(y + after_mm)
