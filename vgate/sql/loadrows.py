"""The rows of a file for LOAD DATA: where each ends, and what its fields say, as servers read them.

Mirrors ``READ_INFO`` of both servers (``sql_load.cc``): ``read_field`` for as many fields as there are columns, and
then ``next_line``, which knows escapes but no quotes. It does not know tables, nor what a value becomes.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from vgate.sql.load import LoadFormat

_ESCAPES: Final = {ord("n"): b"\n", ord("t"): b"\t", ord("r"): b"\r", ord("b"): b"\b", ord("0"): b"\0",
                   ord("Z"): b"\x1a"}  # fmt: skip


class FileRow(NamedTuple):
    """A row in bytes ``start`` to ``end`` of the buffer. Fewer ``fields`` than columns where the line ended early.

    ``marked``: where the field that is asked for stands, with its quotes and without its terminator.
    """

    start: int
    end: int
    fields: list[bytes | None]
    marked: tuple[int, int] = (0, 0)


class _NeedMore(Exception):
    """What the buffer has does not tell yet."""


def unusual(form: LoadFormat) -> str:
    """What of a format is not read here; empty where all of it is."""
    ends = (form.field_end, form.line_end)
    if not all(ends):
        return "without FIELDS TERMINATED BY or LINES TERMINATED BY"
    if form.line_start:
        return "with LINES STARTING BY"
    if len(form.enclosed) > 1 or len(form.escaped) > 1:
        return "with several characters in ENCLOSED BY or ESCAPED BY"
    marks = (form.enclosed, form.escaped)
    if not all(part.isascii() for part in (*ends, *marks)):
        return "with characters beyond ASCII in its format"
    if form.enclosed and form.enclosed == form.escaped:
        return "with the same character in ENCLOSED BY and ESCAPED BY"
    if any(mark and mark in end for mark in marks for end in ends):
        return "with a character of ENCLOSED BY or ESCAPED BY in a terminator"
    if form.field_end[0] == form.line_end[0]:
        return "with terminators that begin with the same character"
    return ""


class FileRows:
    """Reads rows from a buffer that grows at its end. ``final`` is set once nothing more comes.

    ``mark``: the field, by its number from 0, whose place rows are to say.
    """

    def __init__(self, form: LoadFormat, columns: int, mark: int | None = None) -> None:
        self.form = form
        self.columns = columns
        self.mark = mark
        self.final = False
        self._line = form.line_end
        self._field = form.field_end
        self._quote = form.enclosed[0] if form.enclosed else -1
        self._escape = form.escaped[0] if form.escaped else -1
        specials = {form.field_end[:1], form.line_end[:1], form.escaped, form.enclosed} - {b""}
        self._specials = re.compile(b"[" + b"".join(re.escape(one) for one in specials) + b"]")
        self._skips = re.compile(b"[" + b"".join(map(re.escape, {form.line_end[:1], form.escaped} - {b""})) + b"]")

    def row(self, data: bytes, at: int) -> FileRow | None:
        """The row that begins at ``at``; None at the end, or where more of the file is needed."""
        fields: list[bytes | None] = []
        start = at
        marked = (0, 0)
        try:
            if self._at_end(data, at):
                return None
            while True:
                begin = at
                value, at, ended = self._read_field(data, at)
                if len(fields) == self.mark:
                    end = self._line if ended else self._field
                    marked = begin, at - len(end) if data.endswith(end, begin, at) else at
                fields.append(value)
                if ended:
                    return FileRow(start, at, fields, marked)
                if len(fields) == self.columns:
                    return FileRow(start, self._next_line(data, at), fields, marked)
                if self._at_end(data, at):  # the file ends behind a terminator: the other fields are missing
                    return FileRow(start, at, fields, marked)
        except _NeedMore:
            return None

    def skip(self, data: bytes, at: int) -> int | None:
        """The position after the line at ``at``, which IGNORE n LINES leaves out; None as for ``row``."""
        try:
            return None if self._at_end(data, at) else self._next_line(data, at)
        except _NeedMore:
            return None

    def _at_end(self, data: bytes, at: int) -> bool:
        if at < len(data):
            return False
        if not self.final:
            raise _NeedMore
        return True

    def _ends(self, data: bytes, at: int, terminator: bytes) -> bool:
        """True if the terminator stands at ``at``."""
        if data.startswith(terminator, at):
            return True
        if not self.final and len(data) - at < len(terminator) and terminator.startswith(data[at:]):
            raise _NeedMore
        return False

    def _read_field(self, data: bytes, at: int) -> tuple[bytes | None, int, bool]:
        """(value, position after it, whether the line ends with it)."""
        quoted = data[at] == self._quote
        parts: list[bytes] = []
        null = False
        at += quoted
        while True:
            found = self._specials.search(data, at)
            if found is None:
                if not self.final:
                    raise _NeedMore
                value = (bytes([self._quote]) if quoted else b"") + b"".join((*parts, data[at:]))
                return self._value(value, null, quoted=False), len(data), True
            position = found.start()
            parts.append(data[at:position])
            character = data[position]
            at = position + 1
            if character == self._escape:
                if self._at_end(data, at):
                    parts.append(bytes([character]))
                    continue
                null = null or data[at] == ord("N")
                parts.append(_ESCAPES.get(data[at], data[at : at + 1]))
                at += 1
            elif character == self._quote:
                if not quoted:
                    parts.append(bytes([character]))
                elif self._at_end(data, at):
                    return self._value(b"".join(parts), null, quoted=True), at, True
                elif data[at] == self._quote:
                    parts.append(bytes([character]))
                    at += 1
                elif self._ends(data, at, self._line):
                    return self._value(b"".join(parts), null, quoted=True), at + len(self._line), True
                elif self._ends(data, at, self._field):
                    return self._value(b"".join(parts), null, quoted=True), at + len(self._field), False
                else:
                    parts.append(bytes([character]))
            elif not quoted and self._ends(data, position, self._line):
                return self._value(b"".join(parts), null, quoted=False), position + len(self._line), True
            elif not quoted and self._ends(data, position, self._field):
                return self._value(b"".join(parts), null, quoted=False), position + len(self._field), False
            else:
                parts.append(bytes([character]))

    def _value(self, value: bytes, null: bool, *, quoted: bool) -> bytes | None:
        """NULL is \\N, and the bare word where fields may be quoted."""
        if null and len(value) == 1:
            return None
        return None if value == b"NULL" and self.form.enclosed and not quoted else value

    def _next_line(self, data: bytes, at: int) -> int:
        """The position after the rest of a line."""
        while True:
            found = self._skips.search(data, at)
            if found is None:
                if not self.final:
                    raise _NeedMore
                return len(data)
            position = found.start()
            if data[position] == self._escape:
                if self._at_end(data, position + 1):
                    return len(data)
                at = position + 2
            elif self._ends(data, position, self._line):
                return position + len(self._line)
            else:
                at = position + 1
