"""Query attributes: what MySQL's clients send along with a statement, and how a statement asks for it.

Compared with a server that has MySQL's component; MariaDB offers no such thing. It does not know other commands.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from decimal import Decimal
from typing import Any

import mysql.connector
import pytest
from pymysql.connections import Connection

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import REPOSITORY
from tests.fix_vgate import PASSWORD, USER
from tests.integration.raw import Raw
from vgate.sql.versioned import Flavour
from vgate.wire.constants import Capability
from vgate.wire.packets import lenenc_bytes

COMPONENT = "component 'file://component_query_attributes'"


@pytest.fixture
def attributes(stocked: Oracle) -> Iterator[Oracle]:
    """The plain server has the component, the shards have not."""
    if stocked.cluster.flavour is not Flavour.MYSQL:
        pytest.skip("MariaDB has no query attributes")
    assert ask(stocked.plain, f"install {COMPONENT}").error is None
    yield stocked
    ask(stocked.plain, f"uninstall {COMPONENT}")


def both(oracle: Oracle, stack: ExitStack, **more: Any) -> list[Any]:
    """A connector's connection to vgate, and one to the plain server."""
    process, plain = oracle.process, oracle.cluster.plain
    there: list[dict[str, Any]] = [
        {"host": process.host, "port": process.port, "user": USER, "password": PASSWORD},
        {"unix_socket": plain.unix_socket, "user": "root"},
    ]
    return [
        stack.enter_context(closing(mysql.connector.connect(**where, database="customer", use_pure=True, **more)))
        for where in there
    ]


ASKING = [
    "select mysql_query_attribute_string('n1'), MySQL_Query_Attribute_String ( 'N1' ), 1",
    "select mysql_query_attribute_string('two') x, concat(mysql_query_attribute_string('n1'), uname) from customer",
    "select mysql_query_attribute_string('none'), mysql_query_attribute_string('f'), mysql_query_attribute_string('q')",
    "select uname from customer where uname = mysql_query_attribute_string('n1') or n = 2",
    "select mysql_query_attribute_string('d'), mysql_query_attribute_string('t') from customer where customer_id = 1",
    "select count(*) from customer where mysql_query_attribute_string('n1') is not null group by n",
]


@pytest.mark.parametrize("compress", [False, True])
def test_a_statement_asks_for_its_attributes(attributes: Oracle, compress: bool) -> None:
    with ExitStack() as stack:
        answers: list[list[Any]] = []
        for connection in both(attributes, stack, compress=compress):
            found: list[Any] = []
            for prepared in (False, True):
                cursor: Any = connection.cursor(prepared=prepared)
                for name, value in (("n1", "o'ne\\x"), ("two", 2), ("f", 1.5), ("q", "é"),
                                    ("d", datetime(2024, 5, 1, 2, 3, 4)), ("t", Decimal("1.50"))):  # fmt: skip
                    cursor.add_attribute(name, value)
                for sql in ASKING:
                    cursor.execute(sql)
                    found.append((sql, [one[:2] for one in cursor.description], sorted(cursor.fetchall(), key=repr)))
                cursor.clear_attributes()
                cursor.execute(ASKING[0])
                found.append(cursor.fetchall())
                cursor.execute("select %s, mysql_query_attribute_string('n1')", (7,))
                found.append(cursor.fetchall())
            answers.append(found)
        assert answers[0] == answers[1]


def test_parameters_and_attributes_together(attributes: Oracle) -> None:
    """Also on the fast path, with values sent ahead, and where the statement does not ask."""
    with ExitStack() as stack:
        answers: list[list[Any]] = []
        for connection in both(attributes, stack):
            found: list[Any] = []
            cursor: Any = connection.cursor(prepared=True)
            for number in range(6):
                if number % 2:
                    cursor.add_attribute("a", number)
                else:
                    cursor.clear_attributes()
                cursor.execute("select n, uname from customer where customer_id = %s", (number,))
                found.append(cursor.fetchall())
                cursor.execute(
                    "select mysql_query_attribute_string('a'), %s, %s, mysql_query_attribute_string('b')",
                    (number, "x" * number or None),
                )
                found.append(cursor.fetchall())
            sql = "insert into customer (customer_id, uname) values (%s, mysql_query_attribute_string('a'))"
            cursor.execute(sql, (9,))
            cursor.execute("select uname from customer where customer_id = 9")
            found.append(cursor.fetchall())
            answers.append(found)
        assert answers[0] == answers[1]


def test_the_c_extension_and_the_mysql_client(attributes: Oracle) -> None:
    process = attributes.process
    with mysql.connector.connect(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="customer", use_pure=False
    ) as connection:
        cursor: Any = connection.cursor()
        cursor.add_attribute("n1", "v1")
        cursor.execute("select mysql_query_attribute_string('n1'), uname from customer where customer_id = 1")
        assert cursor.fetchall() == [("v1", "one")]
    client = REPOSITORY / ".mysql9" / "bin" / "mysql"
    if not client.exists():
        pytest.skip("the mysql client of MySQL 9 is not there")
    text = "query_attributes n1 v1 n2 v2\nselect mysql_query_attribute_string('n2'), 5;\n"
    text += "select mysql_query_attribute_string('n1'), 6;\n"
    login = ["-h", process.host, "-P", str(process.port), "-u", USER, f"-p{PASSWORD}"]
    done = subprocess.run(
        [client, *login, "-N", "--commands", "customer"],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["v2\t5", "NULL\t6"], done.stderr


def test_what_is_refused(attributes: Oracle) -> None:
    attributes.refused("select mysql_query_attribute_string(concat('a', 'b'))", "mysql_query_attribute_string")
    assert ask(attributes.vgate, "select 1").rows == ((1,),)


BROKEN = {
    "no count": b"",
    "two sets": b"\0\2select 1",
    "cut off in its bitmap": b"\x0a\1\0",
    "no types": b"\1\1\0\0select 1",
    "cut off in its types": b"\1\1\0\1\xfd",
    "a name beyond the end": b"\1\1\0\1\xfd\0\x20n",
    "a value beyond the end": b"\1\1\0\1\xfd\0\1n\x7fv",
    "an unknown type": b"\1\1\0\1\x20\0\1n\1v",
    "too many": b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\1",
}


class Silent(Connection):  # type: ignore[misc]
    """PyMySQL, which knows nothing of attributes, up to the end of the login."""

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Say nothing."""

    def autocommit(self, value: object) -> None:
        """Say nothing."""


@pytest.fixture
def raw(attributes: Oracle) -> Iterator[Raw]:
    process = attributes.process
    connection = Silent(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="customer", ssl_disabled=True,
        client_flag=Capability.QUERY_ATTRIBUTES,
    )  # fmt: skip
    yield Raw(connection)
    connection._force_close()


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_one_ends_its_connection_alone(attributes: Oracle, raw: Raw, what: str) -> None:
    raw.send(b"\x03" + BROKEN[what])
    answer = raw.socket.recv(1 << 16)
    assert answer[4:7] == b"\xff" + struct.pack("<H", 1835)
    while rest := raw.socket.recv(1 << 16):
        answer += rest
    assert len(answer) == 4 + int.from_bytes(answer[:3], "little")
    assert ask(attributes.vgate, "select 1").rows == ((1,),)


def test_a_large_statement_may_have_some(raw: Raw) -> None:
    comment = b"x" * (17 << 20)
    text = b"select mysql_query_attribute_string('n') /* %b */" % comment
    assert b"\x01v" in raw.ask(b"\x03\1\1\0\1\xfd\0\1n" + lenenc_bytes(b"v") + text)
    assert b"\x01v" not in raw.ask(b"\x03\0\1select mysql_query_attribute_string('n')")
