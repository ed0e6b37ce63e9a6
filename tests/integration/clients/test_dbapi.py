"""Python's blocking drivers, with the habits of programs that use them: PyMySQL, mysqlclient, mysql-connector-python.

It does not know ORMs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fix_vgate import PASSWORD, USER
from tests.integration.clients.conftest import Place
from tests.integration.clients.matrix import DUPLICATE, INSERT, LOOKS, NULLS, ROW, SELECT, SETS, fetched, missing
from vgate.sql.versioned import Flavour

Connect = Callable[..., Any]


def pymysql_(place: Place, **options: Any) -> Any:
    module = importlib.import_module("pymysql")
    return module.connect(
        host=place.host, port=place.port, user=USER, password=PASSWORD, database=place.database, **options
    )


def mysqlclient(place: Place, **options: Any) -> Any:
    folder = str(fetched("mysqlclient", "mysqlclient"))
    if folder not in sys.path:
        sys.path.append(folder)
    module = importlib.import_module("MySQLdb")
    return module.connect(
        host=place.host, port=place.port, user=USER, password=PASSWORD, database=place.database, charset="utf8mb4",
        **options,
    )  # fmt: skip


def _connector(place: Place, use_pure: bool, options: dict[str, Any]) -> Any:
    module = importlib.import_module("mysql.connector")
    if not use_pure and not module.HAVE_CEXT:
        missing("mysql-connector-python's C extension", "The wheel has none that runs here: try another version of it.")
    if place.server.flavour is Flavour.MARIADB:  # its own default is a collation of MySQL's, of which MariaDB complains
        options = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci", **options}
    return module.connect(
        host=place.host, port=place.port, user=USER, password=PASSWORD, database=place.database, use_pure=use_pure,
        **options,
    )  # fmt: skip


def connector_pure(place: Place, **options: Any) -> Any:
    return _connector(place, True, options)


def connector_c(place: Place, **options: Any) -> Any:
    return _connector(place, False, options)


@pytest.fixture(params=[pymysql_, mysqlclient, connector_pure, connector_c], ids=lambda one: one.__name__.strip("_"))
def connect(request: pytest.FixtureRequest, place: Place) -> Iterator[Connect]:
    """Connects one of the drivers to the place; what it opened is closed."""
    opened: list[Any] = []

    def to(**options: Any) -> Any:
        opened.append(request.param(place, **options))
        return opened[-1]

    yield to
    for one in opened:
        with suppress(Exception):
            one.close()


def rows(connection: Any, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(sql, values) if values else cursor.execute(sql)
    found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    cursor.close()
    return found


def insert(connection: Any, values: tuple[Any, ...]) -> int:
    cursor = connection.cursor()
    cursor.execute(INSERT, values)
    assert cursor.rowcount == 1
    cursor.close()
    return int(cursor.lastrowid)


def test_rows_come_back_as_they_were_written(connect: Connect) -> None:
    connection = connect(autocommit=True)
    for values in (ROW, NULLS):
        number = insert(connection, values)
        assert number >= 1000
        assert rows(connection, SELECT, (number,)) == [values]
        assert rows(connection, "select last_insert_id()") == [(number,)]


def test_many_rows_in_one_statement(connect: Connect) -> None:
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    cursor.executemany("insert into person (name) values (%s)", [(f"name {n}",) for n in range(100)])
    assert cursor.rowcount == 100
    found = rows(connection, "select id, name from person")
    assert {name for _, name in found} == {f"name {n}" for n in range(100)}
    assert len({number for number, _ in found}) == 100
    first = min(number for number, _ in found)
    assert rows(connection, "select name from person where id in (%s, %s)", (first, first)) == [("name 0",)]


def test_a_transaction_is_undone_in_part_and_as_a_whole(connect: Connect) -> None:
    connection, other = connect(autocommit=False), connect(autocommit=True)
    kept = [insert(connection, (f"kept {n}", *NULLS[1:])) for n in range(4)]
    rows(connection, "savepoint here")
    lost = [insert(connection, NULLS) for _ in range(4)]
    assert len(rows(connection, "select id from person")) == 8
    assert rows(other, "select id from person") == []
    rows(connection, "rollback to savepoint here")
    connection.commit()
    assert sorted(rows(other, "select id from person")) == [(number,) for number in sorted(kept)]
    assert not set(kept) & set(lost)
    rows(connection, "update person set score = 5")
    rows(connection, "delete from person where id = %s", (kept[0],))
    connection.rollback()
    assert sorted(rows(other, "select id, score from person")) == [(number, None) for number in sorted(kept)]


def test_errors_have_their_numbers(connect: Connect) -> None:
    connection = connect(autocommit=True)
    number = insert(connection, NULLS)
    for sql, expected in (
        (f"insert into person (id, name) values ({number}, 'again')", DUPLICATE), ("selectt 1", 1064),
        ("select nosuch from person", 1054), ("select * from nosuch.person", None),
        ("insert into person (name) values (null)", 1048),
    ):  # fmt: skip
        with pytest.raises(Exception) as raised:  # noqa: PT011
            rows(connection, sql)
        said = getattr(raised.value, "errno", None) or raised.value.args[0]
        assert said == expected or expected is None, sql
        assert rows(connection, "select 1") == [(1,)]
    assert rows(connection, "select count(*) from person where id = %s", (number,)) == [(1,)]


def test_what_drivers_and_tools_send_at_the_start(connect: Connect, place: Place) -> None:
    connection = connect(autocommit=True)
    for sql in SETS:
        rows(connection, sql)
    for sql in LOOKS:
        if place.server.flavour is Flavour.MARIADB:
            sql = sql.replace("@@transaction_isolation", "@@tx_isolation")
        assert rows(connection, sql.format(database=place.database)) or sql == "SHOW WARNINGS", sql
    assert rows(connection, "select database(), 1") == [(place.database, 1)]
    assert rows(connection, "show tables like 'person'") == [("person",)]


def test_a_connection_is_kept_tested_and_reset(connect: Connect) -> None:
    connection = connect(autocommit=True)
    before = rows(connection, "select connection_id()")
    rows(connection, "set time_zone = '+05:00'")
    connection.ping()
    assert rows(connection, "select @@time_zone") == [("+05:00",)]
    for name in ("cmd_reset_connection", "reset"):
        if hasattr(connection, name):
            getattr(connection, name)()
            assert rows(connection, "select @@time_zone") != [("+05:00",)]
            assert rows(connection, "select connection_id()") == before
            break
    insert(connection, ROW)


@pytest.mark.parametrize("make", [connector_pure, connector_c])
def test_connectors_own_prepared_statements(place: Place, make: Connect) -> None:
    with closing(make(place, autocommit=True)) as connection:
        cursor = connection.cursor(prepared=True)
        for values in (ROW, NULLS, ROW):
            cursor.execute(INSERT, values)
            number = cursor.lastrowid
            reader = connection.cursor(prepared=True)
            reader.execute(SELECT, (number,))
            assert [tuple(row) for row in reader.fetchall()] == [values]
            reader.close()


@pytest.mark.parametrize("pure", ["1", "0"])
def test_the_old_connector(place: Place, pure: str) -> None:
    folder = fetched("mysql-connector-python 8.0.33", "connector-8.0.33")
    program = Path(__file__).with_name("programs") / "connector.py"
    said = place.run([sys.executable, str(program)], PYTHONPATH=str(folder), PURE=pure)
    assert said == "8.0.33: all is well\n"
