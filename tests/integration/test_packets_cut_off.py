"""Commands that are cut off or have nonsense in them, and values sent ahead: what one server says, each flavour's own.

Left out is what MariaDB reads behind a packet's end, which is whatever an earlier packet has left there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.fix_oracle import Oracle
from tests.integration.comparing import Parameter, execution, results
from tests.integration.raw import EXECUTE, INIT_DB, LONG_DATA, PING, PREPARE, Raw
from vgate.sql.versioned import Flavour

CLOSE, RESET, SET_OPTION = b"\x19", b"\x1a", b"\x1b"
STATEMENT = b"select uname from customer where customer_id = ? and n < ? + 10"
TAIL = b"\0\1\0\0\0\0\1\x08\0\x03\0" + struct.pack("<qi", 2, 1)
BIGINT, STRING, BLOB = Parameter(0x08, 0, None), Parameter(0xFD, 0, None), Parameter(0xFC, 0, None)


def told(side: Raw, command: bytes) -> tuple[object, bytes, bytes]:
    """The number of the error, or the answer; and what a PING, and a look at the errors, is answered after it."""
    if command[:1] in (CLOSE, LONG_DATA):
        side.send(command)
        said: object = "nothing"
    else:
        answer = side.ask(command)
        said = int.from_bytes(answer[5:7], "little") if answer[4] == 0xFF else answer
    answer = side.ask(PING)
    if answer[4] == 0xFF:  # of a command that has no answer otherwise; the PING's is still to come
        said, answer = int.from_bytes(answer[5:7], "little"), side.answer(PING)
    return said, answer, side.query("select @@error_count")


def alike(stocked: Oracle, commands: Callable[[bytes], list[bytes]], statement: bytes = STATEMENT) -> None:
    found = []
    for connection in (stocked.vgate, stocked.plain):
        side = Raw(connection)
        number = side.ask(PREPARE + statement)[5:9]
        found.append([told(side, command) for command in commands(number)])
    assert found[0] == found[1]


@pytest.mark.parametrize("known", [False, True], ids=["first", "types known"])
def test_executions_cut_off(stocked: Oracle, known: bool) -> None:
    whole = [TAIL] if known else []
    for size in range(5 + len(TAIL)):
        alike(stocked, lambda number, size=size: [  # type: ignore[misc]
            EXECUTE + number + tail for tail in whole
        ] + [(EXECUTE + number + TAIL)[: size + 1]])  # fmt: skip


def test_types(stocked: Oracle) -> None:
    """Of all kinds that are known to somebody, and some that are not."""
    for kind in (0x06, 0x0F, 0x10, 0x11, 0x80, 0xF2, 0xF3, *range(0xF5, 0x100)):
        if kind == 0xF6 or (kind == 0xF5 and stocked.cluster.flavour is Flavour.MYSQL):
            continue  # DECIMAL, which vgate leaves to nobody; JSON is compared as such
        tail = b"\0\1\0\0\0\0\1" + bytes([kind]) + b"\0\x03\0" + b"\x012" * (kind != 6) + struct.pack("<i", 1)
        alike(stocked, lambda number, tail=tail: [EXECUTE + number + tail])  # type: ignore[misc]


def test_commands_cut_off(stocked: Oracle) -> None:
    for command in (CLOSE, LONG_DATA):
        for size in range(8):
            alike(stocked, lambda number, command=command, size=size: [  # type: ignore[misc]
                command + (number + bytes(4))[:size]
            ])  # fmt: skip
    if stocked.cluster.flavour is Flavour.MYSQL:
        for size in range(4):
            alike(stocked, lambda number, size=size: [RESET + number[:size]])  # type: ignore[misc]
            alike(stocked, lambda _, size=size: [SET_OPTION + b"\2\0\0\0"[:size]])  # type: ignore[misc]
    alike(stocked, lambda _: [SET_OPTION + b"\2", SET_OPTION + b"\3", SET_OPTION + b"\2\0"])


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_names_of_databases(stocked: Oracle, charset: str) -> None:
    stocked.both(f"set names {charset}")
    alike(stocked, lambda _: [INIT_DB + name for name in (
        b"", b"\xff\xfe", b"product\xff", b"product\0", b"product\0x", b"\0", b"product ", b" product", b"a" * 65,
        b"\xc3\xa4" * 64, b"\xc3\xa4" * 65, b"nosuch", b"`product`", b"product",
    )])  # fmt: skip


SENT_AHEAD = [
    b"select uname from customer where customer_id = ?", b"select uname from customer where customer_id in (?)",
    b"select uname from customer where uname <> ?", b"update customer set n = n + 1 where customer_id <= ?",
    b"insert into customer (customer_id, uname) values (9, ?)", b"select hex(?)",
]  # fmt: skip


@pytest.mark.parametrize("statement", SENT_AHEAD, ids=bytes.decode)
def test_values_sent_ahead(stocked: Oracle, statement: bytes) -> None:
    """Of every type they may have, and of others; and they are gone after that, or not.

    Each with a statement of its own: MariaDB, having executed one with a number, takes for that number what is sent
    ahead for the next.
    """
    for kind in (0x03, 0x05, 0x06, 0x08, 0x0B, 0x0C, 0x0F, 0x11, 0xF5, *range(0xF7, 0x100)):
        found = []
        for connection in (stocked.vgate, stocked.plain):
            side = Raw(connection)
            prepared = side.ask(PREPARE + statement)
            number = int.from_bytes(prepared[5:9], "little")
            side.send(LONG_DATA + prepared[5:9] + b"\0\0" + b"4")
            executions = [Parameter(kind, 0, b""), Parameter(0xFD, 0, b"\x012"), Parameter(0xFD, 0, b"\x012")]
            found.append([
                (one.columns, one.rows, one.ending[0], one.error and one.error[0])
                for each in executions for one in results(side.ask(execution(number, [each])))
            ])  # fmt: skip
            side.query("delete from customer where customer_id in (2, 4, 9)")
            side.query("insert into customer (customer_id, uname, n) values (2, 'two', 2), (4, 'four', 4)")
            side.send(CLOSE + prepared[5:9])
        assert found[:1] == found[1:], (kind, found)
