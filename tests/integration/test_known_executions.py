"""Executions that begin as one before take a short way: they answer as one server does, whatever comes in between.

Long runs by chance of executions of every kind of value, with types given anew or not, and of all that may change what
an execution means: other settings, transactions, statements closed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from random import Random

import pymysql
import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.executing import Prepared
from tests.integration.raw import EXECUTE, PREPARE, QUERY, Raw

RESET, CLOSE = b"\x1a", b"\x19"

STATEMENTS = [
    ("customer", b"select customer_id, uname, n from customer where customer_id = ?"),
    ("customer", b"select customer_id from customer where customer_id = ? and n < 100 + ?"),
    ("customer", b"update customer set n = n + ? where customer_id = ?"),
    ("customer", b"select 7, @@sql_mode from customer where customer_id = 4"),
    ("customer", b"select n from customer where customer_id in (?)"),
    ("product", b"select * from product where id = ?"),
    ("product", b"select 5"),
]
BETWEEN = [
    b"begin", b"commit", b"rollback", b"set sql_mode = 'ansi'", b"set sql_mode = ''", b"set @@sql_mode = default",
    b"select uname from customer where customer_id = 4", b"set names latin1", b"set names utf8mb4",
    b"select no_such_column from customer where customer_id = 1", b"select 1 / 0 from customer where customer_id = 1",
]  # fmt: skip
KINDS = [b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x08\x00", b"\x08\x80", b"\xfd\x00", b"\x03\x80"]
INTEGERS = {b"\x01": ("b", 1), b"\x02": ("h", 2), b"\x03": ("i", 4), b"\x08": ("q", 8)}


class Statement:
    """One statement on both sides; ``types`` are those that its next execution may leave out."""

    def __init__(self, sides: tuple[Raw, Raw], sql: bytes) -> None:
        self.ids = [side.ask(PREPARE + sql)[5:9] for side in sides]
        self.count = sql.count(b"?")
        self.types: list[bytes] = []


def value(chance: Random, kind: bytes) -> bytes:
    """A value of that type, mostly one that there is."""
    if kind == b"\xfd\x00":
        text = str(chance.randint(1, 6)).encode()
        return bytes([len(text)]) + text
    if kind[:1] not in INTEGERS:
        return b""
    code, width = INTEGERS[kind[:1]]
    edges = [2 ** (8 * width) - 1] if kind[1] else [-1, -(2 ** (8 * width - 1))]
    return struct.pack("<" + (code.upper() if kind[1] else code), chance.choice([*range(1, 7), *range(1, 7), *edges]))


def execution(chance: Random, statement: Statement) -> bytes:
    """The part of the command behind the id."""
    tail = b"\0" + struct.pack("<I", 1)
    if not statement.count:
        return tail
    again = statement.types and chance.random() < 0.8
    kinds = statement.types if again else [
        chance.choice(KINDS) for _ in range(statement.count)
    ]  # fmt: skip
    statement.types = kinds
    nulls = sum(1 << index for index in range(statement.count) if chance.random() < 0.05)
    types = b"\0" if again and chance.random() < 0.5 else b"\1" + b"".join(kinds)
    values = (value(chance, kind) for i, kind in enumerate(kinds) if not nulls >> i & 1)
    return tail + bytes([nulls]) + types + b"".join(values)


def both(sides: tuple[Raw, Raw], commands: Sequence[bytes]) -> tuple[bytes, bytes]:
    found, wanted = (side.ask(command) for side, command in zip(sides, commands, strict=True))
    return found, wanted


def play(chance: Random, sides: tuple[Raw, Raw], sql: list[bytes]) -> Iterator[tuple[object, bytes, bytes]]:
    statements = [Statement(sides, each) for each in sql]
    for _ in range(250):
        at = chance.randrange(len(statements))
        statement, draw = statements[at], chance.random()
        if draw < 0.85:
            rest = execution(chance, statement)
            yield (sql[at], rest), *both(sides, [EXECUTE + number + rest for number in statement.ids])
        elif draw < 0.87:
            for side, number in zip(sides, statement.ids, strict=True):
                side.send(CLOSE + number)
            gone = statement.ids
            statements[at] = Statement(sides, sql[at])
            found, wanted = both(sides, [EXECUTE + number + bytes(20) for number in gone])
            yield "closed", found[7:13], wanted[7:13]  # the message names the id
        elif draw < 0.89:
            yield "reset", *both(sides, [RESET + number for number in statement.ids])
        else:
            between = chance.choice(BETWEEN)
            yield between, *both(sides, [QUERY + between] * 2)


@pytest.mark.parametrize("database", ["customer", "product"])
@pytest.mark.parametrize("seed", range(3))
def test_executions_by_chance(stocked: Oracle, database: str, seed: int) -> None:
    sides = Raw(stocked.vgate), Raw(stocked.plain)
    for side in sides:
        assert side.query(f"use {database}")[4] == 0
    sql = [text for name, text in STATEMENTS if name == database]
    for what, found, wanted in play(Random(seed), sides, sql):
        assert found == wanted, what


SAME_NAME = [
    "select w from samename where id = ?", "update samename set w = concat(w, '!') where id = ?",
    "insert into samename values (?, 'new') on duplicate key update w = 'again'",
    "select count(*), max(w) from samename where id > ?", "select database(), ?",
    "delete from samename where id = ? and w = 'again'", "select w, ? from samename order by id",
]  # fmt: skip


def test_an_execution_is_in_the_database_it_was_prepared_in(stocked: Oracle) -> None:
    """Also where the other database has a table of that name, and its plan is known."""
    ask(stocked.vgate, "alter vschema on customer.samename add vindex hash(id) using hash")
    for database in ("product", "customer"):
        stocked.both(f"use {database}")
        stocked.both("create table samename (id bigint primary key, w varchar(20))")
        rows = ", ".join(f"({number}, '{database} {number}')" for number in range(1, 7))
        stocked.both(f"insert into samename values {rows}")
    clients = Prepared(stocked.vgate), Prepared(stocked.plain)
    statements: list[tuple[str, tuple[bytes, bytes]]] = []
    for database in ("product", "customer", "product"):
        stocked.both(f"use {database}")
        statements += [(sql, (clients[0].prepare(sql), clients[1].prepare(sql))) for sql in SAME_NAME]
        for number in (1, 4, 1, 2):
            for text, handles in statements:
                found, wanted = (
                    client.execute(handle, number) for client, handle in zip(clients, handles, strict=True)
                )
                if not text.startswith("select"):  # MySQL's flags tell of another database
                    found, wanted = [found[0][:3]], [wanted[0][:3]]
                assert found == wanted, (text, number)
        stocked.both("select database()")
    for database in ("product", "customer"):
        stocked.both(f"select * from {database}.samename order by id", ordered=True)


def test_an_execution_means_what_was_prepared_or_is_refused(stocked: Oracle) -> None:
    """Under a character set that reads the text otherwise, and where the other text's plan is known."""
    connection = stocked.vgate
    prepared = Prepared(connection)
    wide = "select 'é' from customer where customer_id = ?"
    plain = prepared.prepare("select ?")
    refused = prepared.prepare(wide)
    before = prepared.execute(refused, 1)
    ask(connection, "set names latin1")
    again = prepared.prepare(wide)
    for _ in range(3):
        assert prepared.execute(again, 1)
        with pytest.raises(pymysql.err.MySQLError, match="prepare it anew"):
            prepared.execute(refused, 1)
        assert prepared.execute(plain, 1)
    ask(connection, "set names utf8mb4")
    assert prepared.execute(refused, 1) == before


@pytest.mark.parametrize("keyspace", ["product", "customer"])
def test_what_is_prepared_is_described_as_tables_are_now(stocked: Oracle, keyspace: str) -> None:
    stocked.both(f"use {keyspace}")
    sides = Raw(stocked.vgate), Raw(stocked.plain)
    texts = [b"select * from customer" if keyspace == "customer" else b"select * from product", b"select 1"]
    for change in ("add c int", "modify c varchar(5)", "drop c"):
        stocked.both(f"alter table {keyspace} {change}")
        for text in texts:
            for _ in range(2):
                answers = [side.ask(PREPARE + text) for side in sides]
                assert answers[0][9:] == answers[1][9:], (change, text)
                for side, answer in zip(sides, answers, strict=True):
                    side.ask(EXECUTE + answer[5:9] + b"\0\1\0\0\0")
                    side.send(CLOSE + answer[5:9])


AS_READ = {
    "set sql_mode = 'ansi_quotes'": "select \"customer_id\", 'a\"b' from {} where customer_id {}",
    "set sql_mode = 'pipes_as_concat'": "select customer_id || '0', 1 || 0 from {} where customer_id {}",
    "set sql_mode = 'no_backslash_escapes'": "select 'a\\nb' from {} where customer_id {}",
    "set sql_mode = 'high_not_precedence'": "select not customer_id between -5 and 0 from {} where customer_id {}",
    "set sql_mode = 'ignore_space'": "select count (*), 'A' from {} where customer_id {}",
    "set names utf8mb4 collate utf8mb4_bin": "select 'a' = 'A', collation('x') from {} where customer_id {}",
    "set names latin1": "select collation('x') from {} where customer_id {}",
    "set lc_time_names = 'de_DE'": "select monthname('2020-01-01') from {} where customer_id {}",
    "set div_precision_increment = 2": "select customer_id / 3 from {} where customer_id {}",
    "set default_week_format = 3": "select week('2020-01-01') from {} where customer_id {}",
}
"""What is changed when a statement is prepared, and the statement."""

BACK = (
    "set sql_mode = default", "set names utf8mb4", "set lc_time_names = default",
    "set div_precision_increment = default", "set default_week_format = default",
)  # fmt: skip


@pytest.mark.parametrize("change", AS_READ)
def test_an_execution_is_read_as_it_was_prepared(stocked: Oracle, change: str) -> None:
    """On one shard, known and not, on several, gathered, and on an unsharded keyspace; and while all else is as it is.
    """
    stocked.both("create table product.customers (customer_id int primary key)")
    stocked.both("insert into product.customers values (1), (2), (3)")
    sides = Prepared(stocked.vgate), Prepared(stocked.plain)
    conditions = (
        "= ?", "> ?", "> ? and 'a' < 'B' order by customer_id limit 9", "< ? or 'a' = 'A' group by customer_id"
    )  # fmt: skip
    tables = ("customer", "product.customers")
    texts = [AS_READ[change].format(table, condition) for condition in conditions for table in tables]
    prepared: list[tuple[str, list[bytes]]] = []
    for sql in (*BACK, change):
        stocked.both(sql)
        if sql in (BACK[-1], change) and not (sql == BACK[-1] and "(*)" in texts[0]):
            prepared += [(text, [side.prepare(text) for side in sides]) for text in texts]
    for sql in (change, "begin", *BACK, "commit", change, *BACK):
        stocked.both(sql)
        for number in (1, 2, 1):
            for text, handles in prepared:
                found, wanted = (side.execute(one, number) for side, one in zip(sides, handles, strict=True))
                assert sorted(found) == sorted(wanted), (text, sql, number)
        stocked.both("select 'a\\'b', 'x' = 'X', 1 || 0")


def test_what_is_sent_as_text_is_refused_where_it_would_be_read_otherwise(stocked: Oracle) -> None:
    prepared = Prepared(stocked.vgate)
    statement = prepared.prepare("insert into customer (customer_id, uname) values (?, concat('1' || '0', ?))")
    prepared.execute(statement, 71, 7)
    ask(stocked.vgate, "set sql_mode = 'pipes_as_concat'")
    with pytest.raises(pymysql.err.MySQLError, match="another sql_mode; prepare it anew"):
        prepared.execute(statement, 72, 7)
    ask(stocked.vgate, "set sql_mode = default")
    prepared.execute(statement, 72, 7)
    assert ask(stocked.vgate, "select count(*) from customer where customer_id in (71, 72)").rows == ((2,),)
