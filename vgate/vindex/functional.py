"""The functional vindexes of one column: those that compute the keyspace id from the value alone.

Each mirrors the ``Map`` of the Vitess vindex of the same name, byte for byte, for the three kinds of value: an
integer, text (or bytes), NULL. "No keyspace id" is None, which reaches no shard; it is not an error. All of them
are unique. The weights behind ``unicode_loose_*`` are in ``unicode_loose``, parameters are read in ``registry``.

This module does not know which table or column a value came from, nor which shard owns a keyspace id.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import ClassVar, cast, final

from xxhash import xxh64_intdigest

from vgate.errors import INVALID_UTF8
from vgate.vindex.base import KeyspaceId, Value, Vindex
from vgate.vindex.unicode_loose import LooseKeys, loose_keys

_MAX_UINT64 = 2**64 - 1

# Vitess's number parser skips blanks and tabs at both ends, and takes no sign, point or exponent.
_DECIMAL = re.compile(rb"[ \t]*0*([0-9]{1,20})[ \t]*")


def _des_of_one_block() -> Callable[[bytes], bytes]:
    """DES with an all-zero key, of blocks of 8 bytes.

    Triple DES with three equal keys is DES; OpenSSL's is five times faster to call than pycryptodome's. The one
    cipher object serves all calls: ECB keeps nothing from one whole block to the next.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        from cryptography.hazmat.primitives.ciphers import Cipher, modes
    except ImportError:
        return _des_of_pycryptodome()
    try:
        return Cipher(TripleDES(bytes(24)), modes.ECB()).encryptor().update
    except UnsupportedAlgorithm:  # an OpenSSL in FIPS mode has no DES
        return _des_of_pycryptodome()


def _des_of_pycryptodome() -> Callable[[bytes], bytes]:
    from Crypto.Cipher import DES

    cipher = DES.new(bytes(8), DES.MODE_ECB)

    def encrypt(block: bytes) -> bytes:
        return cipher.encrypt(block)

    return encrypt


# What ``hash`` calls per query. The casts say that the 8 bytes are a keyspace id without a call that says so.
_encrypt = cast(Callable[[bytes], KeyspaceId], _des_of_one_block())
_pack_int64 = struct.Struct(">q").pack
_pack_uint64 = cast(Callable[[int], KeyspaceId], struct.Struct(">Q").pack)
_pack_uint64_from_low_byte = struct.Struct("<Q").pack
_unpackable = struct.error

_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_NULL_ID = KeyspaceId(b"\0")

# The part of a value that goes into an error message: a client that sends 16 MB need not get them back.
_SHOWN_BYTES = 64


def _parse_uint64(text: bytes) -> int | None:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    number = int(match[1])
    return number if number <= _MAX_UINT64 else None


def _uint64(value: Value) -> int | None:
    """The value as Vitess's ``ToCastUint64`` reads it, which takes no negative number; None where it does not."""
    if isinstance(value, int):
        return value if 0 <= value <= _MAX_UINT64 else None
    return None if value is None else _parse_uint64(value)


def _text(value: Value) -> bytes:
    """The bytes of the value's text form; NULL has none, as in Vitess."""
    if isinstance(value, int):
        return b"%d" % value
    return value or b""


def _xxh64(data: bytes) -> KeyspaceId:
    """XXH64 with seed 0. Vitess writes the number with its lowest byte first."""
    return KeyspaceId(xxh64_intdigest(data).to_bytes(8, "little"))


def _md5(data: bytes) -> KeyspaceId:
    return KeyspaceId(md5(data, usedforsecurity=False).digest())


# -- numbers ------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Hash:
    """DES, under a key of zeros, of the number as 8 bytes.

    An integer from -2^63 to 2^64-1 is taken by its 64 bits, so -1 and 2^64-1 are one id. Text is a decimal number
    from 0 to 2^64-1, without a sign: ``'-1'`` has no keyspace id, although -1 has one. Neither has NULL.
    """

    name: str
    type: ClassVar[str] = "hash"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = False

    def map(self, value: Value) -> KeyspaceId | None:
        """The 8 bytes of ``value``, or None where it is no such number."""
        try:
            return _encrypt(_pack_int64(value))
        except _unpackable:  # text, NULL, or an integer outside the signed range
            number = _uint64(value)
            return None if number is None else _encrypt(_pack_uint64(number))


@final
@dataclass(frozen=True, slots=True)
class Numeric:
    """The number itself as 8 bytes. Integers and decimal text from 0 to 2^64-1; nothing else has a keyspace id."""

    name: str
    type: ClassVar[str] = "numeric"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 0
    takes_text: ClassVar[bool] = False

    def map(self, value: Value) -> KeyspaceId | None:
        """The 8 bytes of ``value``, highest first, or None where it is no such number."""
        number = _uint64(value)
        return None if number is None else _pack_uint64(number)


@final
@dataclass(frozen=True, slots=True)
class ReverseBits:
    """The number's 64 bits in reverse order. Integers and decimal text from 0 to 2^64-1, as ``numeric``."""

    name: str
    type: ClassVar[str] = "reverse_bits"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = False

    def map(self, value: Value) -> KeyspaceId | None:
        """The 8 bytes of ``value`` reversed, or None where it is no such number."""
        number = _uint64(value)
        if number is None:
            return None
        return KeyspaceId(_pack_uint64_from_low_byte(number).translate(_BITS_REVERSED))


@final
@dataclass(frozen=True, slots=True)
class NumericStaticMap:
    """A table of numbers to numbers, and for those not in it another vindex (None: ``numeric``).

    What is no number from 0 to 2^64-1 has no keyspace id, whatever ``fallback`` would make of it: Vitess looks into
    the table first. ``fallback`` is given the value as it came, so one that hashes text sees ``' 5'``, not 5.
    """

    name: str
    table: Mapping[int, int] = field(hash=False)
    fallback: Vindex | None = None
    type: ClassVar[str] = "numeric_static_map"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1

    @property
    def takes_text(self) -> bool:
        """As the fallback does: two texts of one number are then two ids, unless the table has it."""
        return self.fallback is not None and self.fallback.takes_text

    def map(self, value: Value) -> KeyspaceId | None:
        """The table's number as 8 bytes, highest first, or what the fallback says; None for no number."""
        number = _uint64(value)
        if number is None:
            return None
        mapped = self.table.get(number)
        if mapped is not None:
            return _pack_uint64(mapped)
        return _pack_uint64(number) if self.fallback is None else self.fallback.map(value)


# -- bytes --------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Binary:
    """The bytes of the value's text form, of any length. NULL is the empty keyspace id, as the empty text is."""

    name: str
    type: ClassVar[str] = "binary"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 0
    takes_text: ClassVar[bool] = True

    def map(self, value: Value) -> KeyspaceId:
        """The text form of ``value``."""
        return KeyspaceId(_text(value))


@final
@dataclass(frozen=True, slots=True)
class BinaryMD5:
    """MD5 of the value's text form, 16 bytes. NULL is hashed as the empty text."""

    name: str
    type: ClassVar[str] = "binary_md5"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = True

    def map(self, value: Value) -> KeyspaceId:
        """The 16 bytes of ``value``."""
        return _md5(_text(value))


@final
@dataclass(frozen=True, slots=True)
class XXHash:
    """XXH64 of the value's text form, 8 bytes: 1 and ``'1'`` are one id, ``'01'`` is another. NULL is empty text."""

    name: str
    type: ClassVar[str] = "xxhash"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = True

    def map(self, value: Value) -> KeyspaceId:
        """The 8 bytes of ``value``."""
        return _xxh64(_text(value))


@final
@dataclass(frozen=True, slots=True)
class Null:
    """One byte of zero for every value, so that all rows are in the first shard."""

    name: str
    type: ClassVar[str] = "null"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 100
    takes_text: ClassVar[bool] = False

    def map(self, value: Value) -> KeyspaceId:
        """The byte 00."""
        return _NULL_ID


# -- text without case and accents --------------------------------------------------------------------------------


def _loose_key(keys: LooseKeys, value: Value) -> bytes:
    """The key of the value's text form. Raises INVALID_UTF8, as Vitess does, and KEYSPACE_ID_UNSURE."""
    data = _text(value)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise INVALID_UTF8(value=_quoted(data)) from None
    return keys.key(text)


def _quoted(data: bytes) -> str:
    """Much as Go's ``%q`` shows bytes, cut off where they become too many."""
    shown = "".join(map(_escaped, data[:_SHOWN_BYTES].decode("utf-8", "surrogateescape")))
    return f'"{shown}"' if len(data) <= _SHOWN_BYTES else f'"{shown}"... ({len(data)} bytes)'


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # surrogateescape's stand-in for a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


@final
@dataclass(frozen=True, slots=True)
class UnicodeLooseMD5:
    """MD5 of the text's key without case, accents and trailing spaces, 16 bytes. NULL is hashed as the empty text."""

    name: str
    keys: LooseKeys = field(default_factory=loose_keys, repr=False, compare=False)
    type: ClassVar[str] = "unicode_loose_md5"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = True

    def map(self, value: Value) -> KeyspaceId:
        """The 16 bytes of ``value``. Raises INVALID_UTF8, and KEYSPACE_ID_UNSURE (see ``unicode_loose``)."""
        return _md5(_loose_key(self.keys, value))


@final
@dataclass(frozen=True, slots=True)
class UnicodeLooseXXHash:
    """XXH64 of the text's key without case, accents and trailing spaces, 8 bytes. NULL is hashed as the empty text."""

    name: str
    keys: LooseKeys = field(default_factory=loose_keys, repr=False, compare=False)
    type: ClassVar[str] = "unicode_loose_xxhash"
    unique: ClassVar[bool] = True
    cost: ClassVar[int] = 1
    takes_text: ClassVar[bool] = True

    def map(self, value: Value) -> KeyspaceId:
        """The 8 bytes of ``value``. Raises INVALID_UTF8, and KEYSPACE_ID_UNSURE (see ``unicode_loose``)."""
        return _xxh64(_loose_key(self.keys, value))
