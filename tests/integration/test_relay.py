"""The relay, byte for byte: what a client gets through vgate is what one server would have sent it.

Commands and answers of 16 MB and more, commands in any pieces, answers that end with an error, or have several results,
and clients that read slowly. Memory is the kernel's own figure for vgate's process.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from bench.process import memory, reset_peak
from tests.fix_oracle import Oracle
from tests.fix_servers import Cluster, Server
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.asking import until
from tests.integration.conftest import serve
from tests.integration.raw import INIT_DB, LONG_DATA, MAX_PAYLOAD, PING, PREPARE, QUERY, Raw, string_execution
from vgate.config import Tls

SIZES = [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD + 2, 2 * MAX_PAYLOAD]
"""Payloads around one packet's limit, and exactly two packets (which are three)."""

MEGABYTE = 1 << 20


class Sides:
    """The sockets of both sides of the oracle."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.vgate = Raw(oracle.vgate)
        self.plain = Raw(oracle.plain)

    def same(self, *payloads: bytes) -> list[bytes]:
        """The same commands, in one write, have the same answers; returns them."""
        self.plain.send(*payloads)
        wanted = self.plain.answers(payloads)
        self.vgate.send(*payloads)
        found = self.vgate.answers(payloads)
        alike(payloads, found, wanted)
        return found

    def same_query(self, sql: str | bytes) -> bytes:
        """``same`` of one COM_QUERY."""
        return self.same(QUERY + (sql.encode() if isinstance(sql, str) else sql))[0]

    def use(self, database: str, target: str = "") -> None:
        """Select a database on both; ``target`` is how vgate has it."""
        self.plain.ask(INIT_DB + database.encode())
        assert self.vgate.ask(INIT_DB + (target or database).encode())[4] == 0


def alike(payloads: tuple[bytes, ...], found: list[bytes], wanted: list[bytes]) -> None:
    """Compared so that a failure does not print megabytes."""
    for payload, mine, theirs in zip(payloads, found, wanted, strict=True):
        if mine != theirs:
            at = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(mine))
            raise AssertionError(
                f"{payload[:100]!r}: {len(mine)} bytes, one server {len(theirs)}; they differ at {at}:"
                f" {mine[max(0, at - 40) : at + 40]!r}, one server {theirs[max(0, at - 40) : at + 40]!r}"
            )


@pytest.fixture
def sides(stocked: Oracle) -> Sides:
    return Sides(stocked)


# -- 16 MB and more -----------------------------------------------------------------------------------------------

WAYS = {
    "any shard": ("customer", "", "select {}"),
    "point": ("customer", "", "select {} from customer where customer_id = 4"),
    "all shards": ("customer", "", "select {} from customer where customer_id in (2, 4)"),
    "unsharded": ("product", "", "select {} from product where id = 2"),
    "targeted": ("customer", "customer:-80", "select {} from customer where customer_id < 3"),
}
"""Database, target and statement."""


@pytest.mark.parametrize("way", WAYS)
def test_commands(sides: Sides, way: str) -> None:
    """Of that many bytes with the command's own, with others before and behind them in the same write."""
    database, target, template = WAYS[way]
    sides.use(database, target)
    head, tail = template.format("length('\0')").encode().split(b"\0")
    for size in SIZES if way == "point" else [MAX_PAYLOAD]:
        text = QUERY + head + b"z" * (size - 1 - len(head) - len(tail)) + tail
        assert len(text) == size
        sides.same(PING, text, PING, QUERY + b"select 1")
        assert sides.vgate.silent


@pytest.mark.parametrize("way", WAYS)
def test_rows(sides: Sides, way: str) -> None:
    """Rows of that many bytes, and a command behind them."""
    database, target, template = WAYS[way]
    sides.use(database, target)
    sizes = {"point": SIZES, "all shards": SIZES[1:3]}
    for size in sizes.get(way, [MAX_PAYLOAD]):
        content = size - (4 if size - 4 <= MAX_PAYLOAD else 9)
        answer = sides.same(QUERY + template.format(f"repeat('x', {content}) as a").encode(), PING)[0]
        assert answer.count(b"\xff\xff\xff") == size // MAX_PAYLOAD * (2 if way in ("all shards", "targeted") else 1)
        assert sides.vgate.silent


def test_a_large_command_with_a_large_answer(sides: Sides) -> None:
    sides.same_query(b"select '" + b"e" * MAX_PAYLOAD + b"'")


def test_errors_and_writes_of_large_commands(sides: Sides) -> None:
    """What vgate answers itself is numbered as what servers answer."""
    text = b"x" * MAX_PAYLOAD
    for head, tail in (
        (b"select no_such_column, '", b"' from customer"),
        (b"update customer set n = length('", b"')"),
        (b"update customer set n = length('", b"') where customer_id = 1"),
    ):
        answer, wanted = sides.vgate.query(head + text + tail), sides.plain.query(head + text + tail)
        assert answer[3:7] == wanted[3:7]  # the packet's number, the error's
        sides.same_query("select customer_id, n from customer")


def prepared(side: Raw, sql: bytes) -> int:
    """The statement's id."""
    return int.from_bytes(side.ask(PREPARE + sql)[5:9], "little")


PREPARED = [b"select %s", b"select %s from customer where customer_id = 4", b"select %s from customer"]


@pytest.mark.parametrize("template", PREPARED)
def test_executions(sides: Sides, template: bytes) -> None:
    sql = template % b"length(concat(?, 'x'))"
    ids = prepared(sides.vgate, sql), prepared(sides.plain, sql)
    for size in SIZES if b"=" in sql else [MAX_PAYLOAD] * 2:  # the second time its connection has prepared it
        short = len(string_execution(1, b"")) + (0 if size - 18 <= MAX_PAYLOAD else 5)
        mine, theirs = (string_execution(number, b"v" * (size - short)) for number in ids)
        assert len(mine) == size
        alike((sql,), [sides.vgate.ask(mine)], [sides.plain.ask(theirs)])


def test_values_sent_ahead(sides: Sides) -> None:
    for sql in PREPARED:
        sql %= b"sha2(?, 256)"
        answers = []
        for side in (sides.vgate, sides.plain):
            number = prepared(side, sql)
            piece = LONG_DATA + number.to_bytes(4, "little") + b"\0\0" + b"l" * 9_000_000
            commands = (piece, piece, string_execution(number, None))
            side.send(*commands)
            answers.append(side.answers(commands)[-1])
        alike((sql,), answers[:1], answers[1:])


# -- pieces -------------------------------------------------------------------------------------------------------

COMMANDS = [
    QUERY + b"select customer_id, uname from customer where customer_id = 1", PING,
    QUERY + b"select customer_id, uname from customer where customer_id = 4",
    QUERY + b"select customer_id, uname from customer",
    QUERY + b"select nothing from customer", QUERY + b"update customer set n = 7 where customer_id = 6",
    QUERY + b"select n from customer where customer_id = 6", INIT_DB + b"product", QUERY + b"select name from product",
    QUERY + b"insert into product (name) values ('d')", QUERY + b"insert into product (id) values (1)",
    INIT_DB + b"customer", QUERY + b"begin", QUERY + b"delete from customer where customer_id = 2",
    QUERY + b"select count(*) from customer where customer_id in (2)", QUERY + b"rollback",
    QUERY + b"select uname from customer where customer_id = 2", PREPARE + b"select nothing from customer", QUERY + b"",
    PING,
]


def test_commands_in_one_write(sides: Sides) -> None:
    sides.same(*COMMANDS)
    sides.same(*COMMANDS[:8] * 20)
    assert sides.vgate.silent


def test_a_client_that_sends_one_byte_at_a_time(sides: Sides) -> None:
    wanted = [sides.plain.ask(command) for command in COMMANDS]
    sides.vgate.drip(*COMMANDS)
    alike(tuple(COMMANDS), sides.vgate.answers(COMMANDS), wanted)
    assert sides.vgate.silent


def test_packet_numbers_go_round(sides: Sides) -> None:
    """Of more packets than there are numbers."""
    for start in range(10, 1010, 100):
        rows = ", ".join(f"({number}, 'r', 1)" for number in range(start, start + 100))
        sides.oracle.both(f"insert into customer (customer_id, uname, n) values {rows}", ignore=["insert_id"])
    sides.same_query("select uname from customer where customer_id >= 10")
    sides.same_query("select uname from customer where customer_id >= 10 and n = 1")


# -- errors in the middle, several results --------------------------------------------------------------------------

FAILING = [
    ("customer", "", "select customer_id, exp(customer_id * 150) from customer"),
    ("customer", "", "select customer_id, repeat('x', 30000), exp(customer_id * 150) from customer"),
    ("customer", "", "select customer_id, exp(customer_id * 300) from customer"),
    ("customer", "", "select customer_id, exp(customer_id * 1000) from customer"),
    ("customer", "", "select customer_id, exp(customer_id * 150) from customer where customer_id = 6"),
    ("product", "", "select repeat('x', 20000), exp(id * 300) from product order by id"),
    ("customer", "customer:-80", "select customer_id, exp(customer_id * 400) from customer where customer_id < 3"),
]


@pytest.mark.parametrize(("database", "target", "sql"), FAILING)
def test_an_error_in_the_middle_of_a_result(sides: Sides, database: str, target: str, sql: str) -> None:
    sides.use(database, target)
    query = QUERY + sql.encode()
    answer = sides.same(query, PING, query, QUERY + b"select 1")[0]
    assert b"\xff\x9a\x06#22003" in answer  # 1690: out of range


PROCEDURE = (
    "create procedure several(p int) begin select p; select repeat('x', p), p; update {} set n = p where 1 = 0;"
    " if p > 100000 then signal sqlstate '45000' set message_text = 'too many'; end if; select 3; end"
)


@pytest.mark.parametrize(
    ("database", "target", "table"),
    [("product", "", "product"), ("customer", "customer:-80", "customer"), ("customer", "customer:80-", "customer")],
)
def test_a_call_has_several_results(sides: Sides, database: str, target: str, table: str) -> None:
    sides.use(database, target)
    sides.same_query(PROCEDURE.format(table))
    for n in (1, 70_000, 200_000, 17_000_000):
        call = QUERY + b"call several(%d)" % n
        answer = sides.same(PING, call, call, QUERY + b"select 1", PING)[1]
        assert (b"too many" in answer) is (n > 100_000)
    sides.same(QUERY + b"begin", QUERY + b"call several(5)", QUERY + b"commit", QUERY + b"call several(6)", PING)


# -- slow readers ---------------------------------------------------------------------------------------------------

ROW = ", ".join(["repeat('r', 50000000)"] * 2)
LARGE = {
    "rows of one shard": ("customer:-80", "select repeat('r', 40000), repeat('s', 2000000) from customer where n = 9"),
    "rows of all shards": ("customer", "select repeat('r', 40000), repeat('s', 1000000) from customer where n = 9"),
    "a row": ("customer:80-", f"select {ROW} from customer where customer_id = 4"),
    "a row of each shard": ("customer", f"select {ROW} from customer where customer_id in (1, 4)"),
}
"""Answers of 100 MB and more."""

LIMIT = 64 * MEGABYTE


@pytest.fixture(scope="module")
def roomy(cluster: Cluster, tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """A vgate that has not yet carried anything large, with and without TLS."""
    files = {"tls": {"cert": str(tls.cert), "key": str(tls.key)}}
    vgate = serve(tmp_path_factory.mktemp("roomy"), cluster, USERS + yaml.safe_dump(files))
    yield vgate
    vgate.kill()


@pytest.mark.parametrize(
    ("what", "encrypted"), [*((what, False) for what in LARGE), ("rows of one shard", True), ("a row", True)]
)
def test_a_slow_reader_does_not_fill_vgate(stocked: Oracle, roomy: VgateProcess, what: str, encrypted: bool) -> None:
    rows = ", ".join(f"({number}, '', 9)" for number in range(100, 210))
    stocked.both(f"insert into customer (customer_id, uname, n) values {rows}", ignore=["insert_id"])
    database, sql = LARGE[what]
    with closing(roomy.connect(database, ssl_disabled=not encrypted)) as connection:
        assert encrypted is isinstance(connection._sock, ssl.SSLSocket)
        side = Raw(connection)
        for small in ("select repeat('r', 1000000)", sql.replace("00000)", ")")):
            side.query(small)
        reset_peak(roomy.process.pid)
        before = memory(roomy.process.pid).now
        side.send(QUERY + sql.encode())
        until(Waiting(stocked.cluster.servers).unmoved, "the servers are not held back")
        size = side.discard()
        assert size > 95 * MEGABYTE
        assert memory(roomy.process.pid).peak - before < LIMIT
        assert side.query("select 1")[4] == 1


class Waiting:
    """Bytes of servers that wait in this machine's kernel for somebody to read them."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self._ends = tuple(f":{server.port:04X}" for server in servers)
        self._seen = (0, 0)

    def unmoved(self, times: int = 50) -> bool:
        """True once there were as many in so many looks, one after the other."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        size = sum(int(fields[4].partition(":")[2], 16) for fields in lines if fields[2].endswith(self._ends))
        seen, looks = self._seen
        self._seen = (size, looks + 1 if size == seen and size else 0)
        return looks >= times
