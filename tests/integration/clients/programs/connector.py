"""A program that uses Connector/Python of any version: its address is in its environment. It does not know tests."""

from __future__ import annotations

import importlib
import os
from typing import Any

connector: Any = importlib.import_module("mysql.connector")


def connect(**options: Any) -> Any:
    return connector.connect(
        host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"], database=os.environ["DB_NAME"], use_pure=os.environ["PURE"] == "1",
        charset="utf8mb4", collation="utf8mb4_general_ci", **options,
    )  # fmt: skip


def rows(connection: Any, sql: str, values: tuple[Any, ...] = (), **options: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor(**options)
    cursor.execute(sql, values)
    found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    cursor.close()
    return found


def main() -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute("insert into person (name, data) values (%s, %s)", ("Zoë", bytes(range(256))))
    number = cursor.lastrowid
    connection.commit()
    assert rows(connection, "select name from person where id = %s", (number,)) == [("Zoë",)]
    assert rows(connection, "select name from person where id = %s", (number,), prepared=True) == [("Zoë",)]
    prepared = connection.cursor(prepared=True)
    for name in ("a", "b", None, "c"):
        try:
            prepared.execute("insert into person (name) values (%s)", (name,))
        except connector.Error as error:  # of which 8.0.33 in C forgets the number
            if name is not None or "cannot be null" not in str(error):
                raise
    assert rows(connection, "select name from person where id = %s", (prepared.lastrowid,)) == [("c",)]
    connection.rollback()
    assert rows(connection, "select id from person") == [(number,)]
    connection.cmd_reset_connection()
    connection.ping(reconnect=True)
    pool = connector.pooling.MySQLConnectionPool(
        pool_name="p", pool_size=2, host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]),
        user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"], database=os.environ["DB_NAME"],
        use_pure=os.environ["PURE"] == "1", collation="utf8mb4_general_ci",
    )  # fmt: skip
    for _ in range(4):
        one = pool.get_connection()
        assert rows(one, "select name from person where id = %s", (number,)) == [("Zoë",)]
        one.close()
    print(f"{connector.__version__}: all is well")


main()
