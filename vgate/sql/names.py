"""Names in SQL text: from the bytes of a token to the name it stands for.

It does not know what a name belongs to.
"""

from __future__ import annotations

from typing import Final

from vgate.sql.lexer import LexMode, Token, TokenKind

# Where Python's codec has another name; what is missing here has the server's own.
_CODECS: Final = {
    "utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "binary": "latin-1", "latin1": "cp1252", "ujis": "euc_jp",
    "eucjpms": "euc_jp", "sjis": "shift_jis", "euckr": "euc_kr", "latin2": "iso8859_2", "latin5": "iso8859_9",
    "latin7": "iso8859_13", "greek": "iso8859_7", "hebrew": "iso8859_8", "tis620": "tis_620", "koi8r": "koi8_r",
    "koi8u": "koi8_u", "macroman": "mac_roman", "macce": "mac_latin2", "swe7": "ascii", "ascii": "ascii",
}  # fmt: skip


def decoded(raw: bytes, charset: str) -> str:
    """The text of ``raw`` in one of the server's character sets; what cannot be read becomes U+FFFD."""
    try:
        return raw.decode(_CODECS.get(charset, charset), "replace")
    except LookupError:  # dec8, hp8, geostd8, keybcs2, armscii8: Python has none of them
        return raw.decode("ascii", "replace")


def encoded(text: str, charset: str) -> bytes:
    """The bytes of ``text`` in one of the server's character sets. Raises UnicodeEncodeError."""
    return text.encode(_CODECS.get(charset, charset))


def name_of(text: bytes, token: Token, mode: LexMode) -> str:
    """The name that a NAME or QUOTED_NAME token stands for."""
    raw = text[token.start : token.end]
    if token.kind is TokenKind.QUOTED_NAME:
        quote = raw[:1]
        raw = raw[1:-1].replace(quote * 2, quote)
    return decoded(raw, mode.charset)


def backquoted(name: str) -> bytes:
    """A name in backquotes, in UTF-8."""
    return b"`" + name.replace("`", "``").encode("utf-8") + b"`"
