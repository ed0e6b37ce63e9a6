"""Numbers of the MySQL client/server protocol: capabilities, commands, status flags, column types.

Plain integers, since the relay tests them for every packet. This module does not know how they are used.
"""

from __future__ import annotations

from typing import Final


class Capability:
    """Capability flags of protocol 4.1, as both sides send them in the handshake."""

    LONG_PASSWORD: Final = 1
    FOUND_ROWS: Final = 1 << 1
    LONG_FLAG: Final = 1 << 2
    CONNECT_WITH_DB: Final = 1 << 3
    NO_SCHEMA: Final = 1 << 4
    COMPRESS: Final = 1 << 5
    ODBC: Final = 1 << 6
    LOCAL_FILES: Final = 1 << 7
    IGNORE_SPACE: Final = 1 << 8
    PROTOCOL_41: Final = 1 << 9
    INTERACTIVE: Final = 1 << 10
    SSL: Final = 1 << 11
    IGNORE_SIGPIPE: Final = 1 << 12
    TRANSACTIONS: Final = 1 << 13
    RESERVED: Final = 1 << 14
    SECURE_CONNECTION: Final = 1 << 15
    MULTI_STATEMENTS: Final = 1 << 16
    MULTI_RESULTS: Final = 1 << 17
    PS_MULTI_RESULTS: Final = 1 << 18
    PLUGIN_AUTH: Final = 1 << 19
    CONNECT_ATTRS: Final = 1 << 20
    PLUGIN_AUTH_LENENC_CLIENT_DATA: Final = 1 << 21
    CAN_HANDLE_EXPIRED_PASSWORDS: Final = 1 << 22
    SESSION_TRACK: Final = 1 << 23
    DEPRECATE_EOF: Final = 1 << 24
    OPTIONAL_RESULTSET_METADATA: Final = 1 << 25
    ZSTD_COMPRESSION: Final = 1 << 26
    QUERY_ATTRIBUTES: Final = 1 << 27


class Command:
    """First byte of a client's packet in the command phase."""

    SLEEP: Final = 0x00
    QUIT: Final = 0x01
    INIT_DB: Final = 0x02
    QUERY: Final = 0x03
    FIELD_LIST: Final = 0x04
    CREATE_DB: Final = 0x05
    DROP_DB: Final = 0x06
    REFRESH: Final = 0x07
    SHUTDOWN: Final = 0x08
    STATISTICS: Final = 0x09
    PROCESS_INFO: Final = 0x0A
    CONNECT: Final = 0x0B
    PROCESS_KILL: Final = 0x0C
    DEBUG: Final = 0x0D
    PING: Final = 0x0E
    TIME: Final = 0x0F
    DELAYED_INSERT: Final = 0x10
    CHANGE_USER: Final = 0x11
    STMT_PREPARE: Final = 0x16
    STMT_EXECUTE: Final = 0x17
    STMT_SEND_LONG_DATA: Final = 0x18
    STMT_CLOSE: Final = 0x19
    STMT_RESET: Final = 0x1A
    SET_OPTION: Final = 0x1B
    STMT_FETCH: Final = 0x1C
    RESET_CONNECTION: Final = 0x1F


class Status:
    """Status flags in OK and EOF packets."""

    IN_TRANS: Final = 0x0001
    AUTOCOMMIT: Final = 0x0002
    MORE_RESULTS: Final = 0x0008
    NO_GOOD_INDEX_USED: Final = 0x0010
    NO_INDEX_USED: Final = 0x0020
    CURSOR_EXISTS: Final = 0x0040
    LAST_ROW_SENT: Final = 0x0080
    DB_DROPPED: Final = 0x0100
    NO_BACKSLASH_ESCAPES: Final = 0x0200
    METADATA_CHANGED: Final = 0x0400
    QUERY_WAS_SLOW: Final = 0x0800
    PS_OUT_PARAMS: Final = 0x1000
    IN_TRANS_READONLY: Final = 0x2000


class FieldType:
    """Column types on the wire."""

    LONG: Final = 0x03
    DOUBLE: Final = 0x05
    LONGLONG: Final = 0x08
    NULL: Final = 0x06
    TIMESTAMP: Final = 0x07
    DATETIME: Final = 0x0C
    VARCHAR: Final = 0x0F
    NEWDECIMAL: Final = 0xF6
    VAR_STRING: Final = 0xFD
    STRING: Final = 0xFE


class FieldFlag:
    """Column flags on the wire."""

    NOT_NULL: Final = 0x0001
    UNSIGNED: Final = 0x0020
    BINARY: Final = 0x0080
    ENUM: Final = 0x0100
    SET: Final = 0x0800
    NUM: Final = 0x8000


MAX_PAYLOAD: Final = 0xFFFFFF
"""Bytes of payload in one packet; a payload of this length or more goes on in the next packet."""
