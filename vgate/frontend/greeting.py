"""The packets of the connection phase as bytes: the greeting, the client's answer, and what logging in sends.

Pure functions, written after MySQL's ``parse_client_handshake_packet`` and what both kinds of server were seen to
answer. They do not know sockets, nor whether a password is right (``frontend.auth``).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mysql_mimic.charset import CharacterSet, Collation

from vgate.errors import SqlError
from vgate.wire.constants import Capability, Status
from vgate.wire.packets import MalformedPacket, read_lenenc, read_lenenc_bytes

NATIVE: Final = "mysql_native_password"
SHA2: Final = "caching_sha2_password"

SCRAMBLE_LENGTH: Final = 20

OFFERED: Final = (
    Capability.LONG_PASSWORD  # towards MariaDB's clients "I am MySQL": they leave their extended bits alone
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.CONNECT_WITH_DB
    | Capability.NO_SCHEMA
    | Capability.COMPRESS
    | Capability.ODBC
    | Capability.LOCAL_FILES
    | Capability.IGNORE_SPACE
    | Capability.PROTOCOL_41
    | Capability.INTERACTIVE
    | Capability.TRANSACTIONS
    | Capability.RESERVED
    | Capability.SECURE_CONNECTION
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_ATTRS
    | Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
)
"""What vgate can do for a client. Whatever would change the packets of an answer that one server gives stays out:
DEPRECATE_EOF, SESSION_TRACK, OPTIONAL_RESULTSET_METADATA."""

_FIXED: Final = struct.Struct("<IIH22x")
"""How an answer of protocol 4.1 begins: flags, largest packet, collation, filler; an SSLRequest is just this."""


class OldClient(MalformedPacket):
    """A client that speaks the protocol from before MySQL 4.1."""


# -- what the server says -----------------------------------------------------------------------------------------

_PRINTABLE: Final = bytes(byte for byte in range(33, 127) if byte != ord("$"))
_TO_PRINTABLE: Final = bytes(_PRINTABLE[byte % len(_PRINTABLE)] for byte in range(256))


def scramble_of(random: bytes) -> bytes:
    """Random bytes as a scramble that every client takes: no zero, no ``$``, as MySQL's ``generate_user_salt``."""
    return random.translate(_TO_PRINTABLE)


def offered(*, tls: bool, attributes: bool = False) -> int:
    """The capabilities of the greeting. ``attributes``: those of queries, which MySQL has and MariaDB has not."""
    return OFFERED | (Capability.SSL if tls else 0) | (Capability.QUERY_ATTRIBUTES if attributes else 0)


@dataclass(frozen=True, slots=True)
class Greeting:
    """Protocol::HandshakeV10. ``collation`` is the server's default; one byte of it is all there is room for."""

    version: str
    connection_id: int
    scramble: bytes
    capabilities: int
    plugin: str
    collation: int

    def payload(self) -> bytes:
        """The packet's payload."""
        flags = self.capabilities
        middle = struct.pack(
            "<HBHHB10x", flags & 0xFFFF, self.collation & 0xFF, Status.AUTOCOMMIT, flags >> 16, SCRAMBLE_LENGTH + 1
        )
        return b"".join((
            b"\x0a", self.version.encode("utf-8"), b"\0", struct.pack("<I", self.connection_id), self.scramble[:8],
            b"\0", middle, self.scramble[8:], b"\0", self.plugin.encode("ascii"), b"\0",
        ))  # fmt: skip


def auth_switch(plugin: str, scramble: bytes) -> bytes:
    """Protocol::AuthSwitchRequest: log in with another plugin, and this scramble."""
    return b"\xfe" + plugin.encode("ascii") + b"\0" + scramble + b"\0"


def auth_more(data: bytes) -> bytes:
    """Protocol::AuthMoreData."""
    return b"\x01" + data


def early_error(error: SqlError) -> bytes:
    """An ERR packet as both servers send it while the client has not said that it speaks 4.1: without SQLSTATE.

    With one, clients that have no greeting yet would show ``#08004Too many connections``.
    """
    return b"\xff" + error.errno.to_bytes(2, "little") + error.message.encode("utf-8")


# -- what the client answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandshakeResponse:
    """Protocol::HandshakeResponse41. ``capabilities`` are those that both sides have.

    ``plugin`` is empty where the client names none. ``database`` is empty for none.
    """

    capabilities: int
    collation: int
    user: str
    auth: bytes = field(repr=False)
    database: str = ""
    plugin: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def asks_for_tls(payload: bytes) -> bool:
    """True if a client's first packet says that it goes on inside TLS. Raises MalformedPacket if it goes on at once.

    Such a packet is an SSLRequest and has 32 bytes, or the four of old Connector/J.
    """
    if not int.from_bytes(payload[:4], "little") & Capability.SSL:
        return False
    if len(payload) not in (4, _FIXED.size):
        raise MalformedPacket("a handshake response in clear that asks for TLS")
    return True


def read_response(payload: bytes, capabilities: int) -> HandshakeResponse:
    """Read the client's answer to a greeting that offered ``capabilities``. Raises MalformedPacket, OldClient."""
    if len(payload) < 2:
        raise MalformedPacket("no flags")
    if not int.from_bytes(payload[:2], "little") & Capability.PROTOCOL_41:
        raise OldClient("protocol before 4.1")
    if len(payload) < _FIXED.size:
        raise MalformedPacket("handshake response cut off")
    flags, _, collation = _FIXED.unpack_from(payload)
    flags &= capabilities
    at = _FIXED.size
    user, at = _read_terminated(payload, at)
    if flags & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA:
        auth, at = read_lenenc_bytes(payload, at)
    else:
        auth, at = _read_short(payload, at)
    database = b""
    if flags & Capability.CONNECT_WITH_DB:
        database, at = _read_terminated(payload, at)
    plugin = b""
    if flags & Capability.PLUGIN_AUTH:  # MySQL forgives a client that leaves the name, or its end, out
        plugin, at = _read_terminated(payload if b"\0" in payload[at:] else payload + b"\0", at)
    attributes: dict[str, str] = {}
    if flags & Capability.CONNECT_ATTRS and at < len(payload):
        attributes = _read_attributes(payload, at)
    return HandshakeResponse(
        capabilities=flags,
        collation=collation,
        user=decode_name(user, collation),
        auth=auth,
        database=decode_name(database, collation),
        plugin=plugin.decode("ascii", "replace"),
        attributes=attributes,
    )


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """COM_CHANGE_USER. ``collation`` is 0 where the client names none; what it says of its password is of no use, as
    it may have been made with any scramble.
    """

    user: str
    database: str
    collation: int
    plugin: str


def read_change_user(payload: bytes, capabilities: int) -> ChangeUser:
    """Read the command's payload, without its first byte. Raises MalformedPacket."""
    user, at = _read_terminated(payload, 0)
    _, at = _read_short(payload, at)  # with a length of one byte, whatever the handshake agreed on
    database, at = _read_terminated(payload, at)
    collation, plugin = 0, b""
    if at + 2 <= len(payload):
        collation = int.from_bytes(payload[at : at + 2], "little")
        at += 2
        if capabilities & Capability.PLUGIN_AUTH and at < len(payload):
            plugin, at = _read_terminated(payload if b"\0" in payload[at:] else payload + b"\0", at)
        if capabilities & Capability.CONNECT_ATTRS and at < len(payload):
            _read_attributes(payload, at)
    return ChangeUser(
        decode_name(user, collation), decode_name(database, collation), collation, plugin.decode("ascii", "replace")
    )


def _read_terminated(payload: bytes, at: int) -> tuple[bytes, int]:
    """The NUL-terminated string at ``at`` and the position after it."""
    end = payload.find(b"\0", at)
    if end < 0:
        raise MalformedPacket(f"string without end at byte {at}")
    return payload[at:end], end + 1


def _read_short(payload: bytes, at: int) -> tuple[bytes, int]:
    """The string with a length of one byte at ``at`` and the position after it."""
    end = at + 1 + (payload[at] if at < len(payload) else 0)
    if end > len(payload):
        raise MalformedPacket(f"string cut off at byte {at}")
    return payload[at + 1 : end], end


def _read_attributes(payload: bytes, at: int) -> dict[str, str]:
    """The connection attributes (program name and the like), always in utf-8."""
    size, at = read_lenenc(payload, at)
    end = at + size
    if end > len(payload):
        raise MalformedPacket("connection attributes cut off")
    block = payload[:end]
    attributes: dict[str, str] = {}
    while at < end:
        name, at = read_lenenc_bytes(block, at)
        value, at = read_lenenc_bytes(block, at)
        attributes[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return attributes


# -- character sets -----------------------------------------------------------------------------------------------

_UNICODE_WIDE: Final = frozenset({"ucs2", "utf16", "utf16le", "utf32"})
_CODECS: Final = {
    "binary": "utf-8", "utf8": "utf-8", "utf8mb4": "utf-8", "latin1": "cp1252", "eucjpms": "euc_jp", "hp8": "hp_roman8",
    "koi8r": "koi8_r", "koi8u": "koi8_u", "macce": "mac_latin2", "ujis": "euc_jp",
}  # fmt: skip
"""Python's codecs where MySQL's name of the character set is not one, or (latin1) another."""


def charset_of(collation: int) -> str:
    """The character set of a collation's id, in mysql_mimic's words (``utf8`` is utf8mb3); empty where not known.

    Above 255 mysql_mimic knows none: there MySQL's are all utf8mb4, and MariaDB's NO PAD twins are 1024 higher.
    """
    if 1024 < collation < 1280:
        collation -= 1024
    try:
        return str(Collation(collation).charset.name)
    except (ValueError, KeyError):
        return "utf8mb4" if 256 <= collation < 324 else ""


def unusable_charset(collation: int) -> str:
    """The character set of ``collation`` if no client may speak it, as ASCII is not part of it; else empty."""
    charset = charset_of(collation)
    return charset if charset in _UNICODE_WIDE else ""


def decode_name(raw: bytes, collation: int) -> str:
    """A user's or a database's name, written in the client's character set; what cannot be read becomes U+FFFD."""
    if raw.isascii():
        return raw.decode("ascii")
    charset = charset_of(collation)
    for codec in (_CODECS.get(charset, charset), "utf-8"):
        try:
            return raw.decode(codec)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("utf-8", "replace")


def collation_id(name: str, charset: str) -> int:
    """The id that a greeting shows for a server's default collation: its own, or its character set's usual one."""
    for known in (name, name.replace("utf8mb3_", "utf8_", 1)):
        if known in Collation.__members__:
            return int(Collation[known])
    usual = charset.replace("utf8mb3", "utf8")
    if usual != "utf8mb4" and usual in CharacterSet.__members__:
        return int(CharacterSet[usual].default_collation)
    return int(Collation.utf8mb4_general_ci)
