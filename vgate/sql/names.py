"""Names in SQL text: from the bytes of a token to the name it stands for.

It does not know what a name belongs to.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from vgate.sql.lexer import SWE7_NAMING, LexMode, Token, TokenKind

# Where Python's codec has another name; what is missing here has the server's own.
_CODECS: Final = {
    "utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "binary": "latin-1", "latin1": "cp1252", "ujis": "euc_jp",
    "eucjpms": "euc_jp", "sjis": "shift_jis", "euckr": "euc_kr", "latin2": "iso8859_2", "latin5": "iso8859_9",
    "latin7": "iso8859_13", "greek": "iso8859_7", "hebrew": "iso8859_8", "tis620": "tis_620", "koi8r": "koi8_r",
    "koi8u": "koi8_u", "macroman": "mac_roman", "macce": "mac_latin2", "ascii": "ascii",
}  # fmt: skip

# The letters of swe7 where ASCII has others; what ASCII has there it cannot write.
_SWE7: Final = dict(zip(b"@[\\]^`{|}~", "ÉÄÖÅÜéäöåü", strict=True))
_IN_SWE7: Final = {ord(letter): chr(code) for code, letter in _SWE7.items()} | dict.fromkeys(_SWE7, "\x80")
# Such names can be written without quotes alone; none of them is a keyword.
_OF_SWE7: Final = re.escape(SWE7_NAMING.decode())
_RAW_IN_SWE7: Final = re.compile(rf"[\w$]*[{_OF_SWE7}][\w${_OF_SWE7}]*", re.ASCII)


def decoded(raw: bytes, charset: str) -> str:
    """The text of ``raw`` in one of the server's character sets; what cannot be read becomes U+FFFD."""
    if charset == "swe7":
        return raw.decode("ascii", "replace").translate(_SWE7)
    try:
        return raw.decode(_CODECS.get(charset, charset), "replace")
    except LookupError:  # dec8, hp8, geostd8, keybcs2, armscii8: Python has none of them
        return raw.decode("ascii", "replace")


def encoded(text: str, charset: str) -> bytes:
    """The bytes of ``text`` in one of the server's character sets. Raises UnicodeEncodeError."""
    if charset == "swe7":
        return text.translate(_IN_SWE7).encode("ascii")
    try:
        return text.encode(_CODECS.get(charset, charset))
    except LookupError:
        return text.encode("ascii")


def shown(text: str, charset: str) -> bytes:
    """A message or a name for a client that reads ``charset``, with ? for what that does not have.

    Of bytes that are no UTF-8 (PEP 383) the whole is as it came: a server has written it for that client.
    """
    raw = text.encode("utf-8", "surrogateescape")
    if raw.isascii() or charset in ("utf8mb4", "binary", "NULL") or _is_raw(text):
        return raw
    return b"".join(map(partial(_letter, charset=charset), text))


def read_back(message: str, charset: str) -> str:
    """What ``shown`` has shown, or a server, to a client that reads ``charset``."""
    if charset in ("utf8mb4", "binary", "NULL"):
        return message
    return decoded(message.encode("utf-8", "surrogateescape"), charset)


def _is_raw(text: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in text)


def _letter(letter: str, charset: str) -> bytes:
    try:
        return encoded(letter, charset)
    except UnicodeEncodeError:
        return b"?"


def name_of(text: bytes, token: Token, mode: LexMode) -> str:
    """The name that a NAME or QUOTED_NAME token stands for."""
    raw = text[token.start : token.end]
    if token.kind is TokenKind.QUOTED_NAME:
        quote = raw[:1]
        return decoded(raw[1:-1].replace(quote * 2, quote), mode.charset)
    return unquoted_name(raw, mode.charset)


def unquoted_name(raw: bytes, charset: str) -> str:
    """The name that is written so without quotes. Servers convert only what is no ASCII (which swe7 is not, quite)."""
    return raw.decode("ascii") if raw.isascii() else decoded(raw, charset)


def backquoted(name: str, charset: str = "utf8mb4") -> bytes:
    """A name in backquotes, in one of the server's character sets. Raises UnicodeEncodeError."""
    if charset == "swe7":  # where a letter is what quotes
        if _RAW_IN_SWE7.fullmatch(name):
            return name.encode("ascii")
        return b"`" + encoded(name, charset).replace(b"`", b"``") + b"`"
    return b"`" + encoded(name.replace("`", "``"), charset) + b"`"


def text_literal(text: str) -> bytes:
    """A text as SQL that is the same under every sql_mode and character set."""
    return b"_utf8mb4 0x" + text.encode("utf-8").hex().encode() if text else b"''"
