"""The functional vindexes of one column: those that compute the keyspace id from the value alone.

Each mirrors the ``Map`` of the Vitess vindex of the same name, byte for byte, for the three kinds of value: an
integer, text (or bytes), NULL. "No keyspace id" is None, which reaches no shard; it is not an error. All of them
are unique. The weights behind ``unicode_loose_*`` are in ``unicode_loose``, parameters are read in ``registry``.

This module does not know which table or column a value came from, nor which shard owns a keyspace id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Protocol, final

from xxhash import xxh64_intdigest

from vgate.errors import INVALID_UTF8, VgateError
from vgate.vindex.base import KeyspaceId, Value
from vgate.vindex.unicode_loose import LooseKeys

_MAX_UINT64 = 2**64 - 1
_MIN_INT64 = -(2**63)

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


_encrypt = _des_of_one_block()


def _parse_uint64(text: bytes) -> int | None:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    number = int(match[1])
    return number if number <= _MAX_UINT64 else None


def _uint64(value: Value) -> int | None:
    """The value as Vitess's ``ToCastUint64`` reads it, which takes no negative number; None where it does not."""
    if type(value) is int:
        return value if 0 <= value <= _MAX_UINT64 else None
    return None if value is None else _parse_uint64(value)  # type: ignore[arg-type]


def _text(value: Value) -> bytes:
    """The bytes of the value's text form; NULL has none, as in Vitess."""
    if type(value) is int:
        return b"%d" % value
    return value or b""  # type: ignore[return-value]
