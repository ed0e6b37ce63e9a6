"""The transaction that reserves a block, on a scripted connection: every statement, and failures at every step."""

from __future__ import annotations

import asyncio

import pytest

from vgate.errors import BACKEND_LOST, SEQUENCE_EXHAUSTED, ServerError, SqlError, VgateError
from vgate.sequences.row import (
    Cells,
    NotReserved,
    Outcome,
    OutcomeUnknown,
    Reply,
    Reservation,
    Reserved,
    read_row,
    reserve_on,
)
from vgate.vschema.model import TableName

SEQ = TableName("product", "customer_seq")
PROPERTIES = (
    b"select t.table_comment, t.engine, e.transactions from information_schema.tables t"
    b" left join information_schema.engines e on e.engine = t.engine"
    b" where t.table_schema = database() and t.table_name = _utf8mb4 x'637573746f6d65725f736571'"
)
SELECT = (
    b"select next_id, cache, (select next_id from `customer_seq` where id = 1) from `customer_seq` where id = 0"
    b" for update"
)
UPDATE = b"update `customer_seq` set next_id = 4 where id = 0"
GOOD = Reply(rows=((b"vitess_sequence", b"InnoDB", b"YES"),))

LOST = BACKEND_LOST(label="product/-")
DEADLOCK = ServerError(1213, "40001", "Deadlock found when trying to get lock; try restarting transaction")
LOCK_WAIT = ServerError(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction")
MISSING = ServerError(1146, "42S02", "Table 'product.customer_seq' doesn't exist")


class Connection:
    """Records what it is told. ``failures``: for a statement's first word, the errors of its first executions."""

    def __init__(self, row: Cells = (b"1", b"3"), failures: dict[str, list[BaseException]] | None = None) -> None:
        self.rows: tuple[Cells, ...] = (row,)
        self.properties = GOOD
        self.affected = 1
        self.failures = failures or {}
        self.transcript: list[bytes] = []
        self.closed = False

    async def execute(self, sql: bytes) -> Reply:
        assert not self.closed
        self.transcript.append(sql)
        failures = self.failures.get(sql.split()[0].decode())
        if failures:
            raise failures.pop(0)
        if b"information_schema" in sql:
            return self.properties
        if sql.startswith(b"select"):
            return Reply(rows=[(*cells, None)[:3] for cells in self.rows])
        return Reply(affected=self.affected if sql.startswith(b"update") else 0)

    def close(self) -> None:
        self.closed = True


def decide(next_id: int, cache: int) -> int:
    return next_id + cache


async def reserve(connection: Connection, *, verify: bool = False) -> Outcome:
    return await reserve_on(connection, Reservation(SEQ, decide, verify))


async def refused(connection: Connection, *, verify: bool = False) -> str:
    outcome = await reserve(connection, verify=verify)
    assert isinstance(outcome, NotReserved)
    assert (outcome.error.errno, outcome.error.sqlstate) == (1105, "HY000")
    assert not connection.closed
    assert b"commit" not in connection.transcript
    assert (b"begin" in connection.transcript) == (b"rollback" in connection.transcript)
    return outcome.error.message


# -- the good case --------------------------------------------------------------------------------------------------


async def test_the_statements() -> None:
    connection = Connection()
    assert await reserve(connection, verify=True) == Reserved()
    assert connection.transcript == [PROPERTIES, b"begin", SELECT, UPDATE, b"commit"]
    assert not connection.closed


async def test_a_known_sequence_is_not_verified_again() -> None:
    connection = Connection()
    assert await reserve(connection) == Reserved()
    assert connection.transcript == [b"begin", SELECT, UPDATE, b"commit"]


async def test_names_are_quoted() -> None:
    connection = Connection()
    await reserve_on(connection, Reservation(TableName("p", "a`b é"), decide))
    assert connection.transcript[2] == SELECT.replace(b"customer_seq", "a``b é".encode())
    assert connection.transcript[0].endswith(b"x'" + "a`b é".encode().hex().encode() + b"'")


# -- what the row and the table may be --------------------------------------------------------------------------------


async def test_a_missing_row_says_how_to_make_it() -> None:
    connection = Connection()
    connection.rows = ()
    assert await refused(connection) == (
        "unexpected rows from reading sequence customer_seq (possible mis-route): 0; "
        "make the row with `insert into customer_seq(id, next_id, cache) values (0, 1, 1000)`"
    )


async def test_two_rows_are_refused() -> None:
    connection = Connection()
    connection.rows = ((b"1", b"3"), (b"1", b"3"))
    assert await refused(connection) == (
        "unexpected rows from reading sequence customer_seq (possible mis-route): 2; "
        "keep one row with id 0 in customer_seq"
    )


@pytest.mark.parametrize("cache", [b"0", b"-1"])
async def test_a_bad_cache_says_how_to_mend_it(cache: bytes) -> None:
    assert await refused(Connection((b"1", cache))) == (
        f"invalid cache value for sequence customer_seq: {cache.decode()}; "
        "mend it with `update customer_seq set cache = 1000 where id = 0`"
    )


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ((None, b"3"), "next_id", "NULL"),
        ((b"1", None), "cache", "NULL"),
        ((b"9223372036854775808", b"3"), "next_id", "9223372036854775808"),
        ((b"1", b"18446744073709551615"), "cache", "18446744073709551615"),
        ((b"1.0", b"3"), "next_id", "1.0"),
        ((b"one", b"3"), "next_id", "one"),
    ],
)
async def test_what_is_no_signed_bigint_is_refused(row: Cells, column: str, value: str) -> None:
    message = await refused(Connection(row))
    assert message.startswith(f"error loading sequence customer_seq: {column} is {value}, which is no signed 64-bit")
    assert f"`update customer_seq set {column} = ... where id = 0`" in message


def test_the_bounds_of_a_signed_bigint_are_read() -> None:
    assert read_row(SEQ, [(b"-9223372036854775808", b"9223372036854775807")]) == (-(2**63), 2**63 - 1)


@pytest.mark.parametrize("comment", [b"", None, b"Vitess_Sequence", b"vitess sequence"])
async def test_a_table_without_the_marker_is_not_touched(comment: bytes | None) -> None:
    connection = Connection()
    connection.properties = Reply(rows=((comment, b"InnoDB", b"YES"),))
    message = await refused(connection, verify=True)
    assert message.startswith("customer_seq is not a sequence: mark it with `alter table customer_seq comment")
    assert connection.transcript == [PROPERTIES]


async def test_the_marker_may_be_part_of_the_comment() -> None:
    connection = Connection()
    connection.properties = Reply(rows=((b"ids, vitess_sequence", b"InnoDB", b"YES"),))
    assert await reserve(connection, verify=True) == Reserved()


@pytest.mark.parametrize("transactions", [b"NO", None])
async def test_an_engine_without_transactions_is_refused(transactions: bytes | None) -> None:
    connection = Connection()
    connection.properties = Reply(rows=((b"vitess_sequence", b"MyISAM", transactions),))
    assert "storage engine MyISAM, which has no transactions" in await refused(connection, verify=True)


async def test_a_missing_table_is_the_servers_error() -> None:
    connection = Connection(failures={"select": []})
    connection.properties = Reply()
    connection.failures["update"] = [MISSING]
    assert await reserve(connection, verify=True) == NotReserved(MISSING)


async def test_an_update_that_changes_nothing_is_not_committed() -> None:
    connection = Connection()
    connection.affected = 0
    assert "its UPDATE changed 0 rows instead of 1" in await refused(connection)


async def test_an_error_of_the_decision_is_passed_on() -> None:
    error = SEQUENCE_EXHAUSTED(name="customer_seq", count=5)

    def refuse(next_id: int, cache: int) -> int:
        raise error

    connection = Connection()
    assert await reserve_on(connection, Reservation(SEQ, refuse, verify=False)) == NotReserved(error)
    assert connection.transcript == [b"begin", SELECT, b"rollback"]


# -- failures at every step -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["begin", "select", "update"])
async def test_a_server_error_before_commit_leaves_a_clean_connection(step: str) -> None:
    connection = Connection(failures={step: [LOCK_WAIT]})
    assert await reserve(connection) == NotReserved(LOCK_WAIT)  # 1205 is not tried again
    assert connection.transcript[-1] == b"rollback"
    assert connection.transcript.count(b"begin") == 1
    assert not connection.closed


@pytest.mark.parametrize("step", ["begin", "select", "update"])
async def test_a_lost_connection_before_commit_changed_nothing(step: str) -> None:
    connection = Connection(failures={step: [LOST], "rollback": [LOST]})
    assert await reserve(connection) == NotReserved(LOST)
    assert connection.closed


@pytest.mark.parametrize("error", [LOST, ServerError(1053, "08S01", "Server shutdown in progress")])
async def test_any_other_failure_of_commit_is_unknown(error: SqlError) -> None:
    connection = Connection(failures={"commit": [error]})
    assert await reserve(connection) == OutcomeUnknown(error)
    assert connection.closed
    assert connection.transcript[-1] == b"commit"


@pytest.mark.parametrize("step", ["select", "update", "commit"])
async def test_a_deadlock_is_tried_again(step: str) -> None:
    connection = Connection(failures={step: [DEADLOCK]})
    assert await reserve(connection) == Reserved()
    assert connection.transcript.count(b"begin") == 2
    assert connection.transcript[-1] == b"commit"


async def test_a_deadlock_is_not_tried_for_ever() -> None:
    connection = Connection(failures={"update": [DEADLOCK] * 5})
    assert await reserve(connection) == NotReserved(DEADLOCK)
    assert connection.transcript.count(b"begin") == 3


async def test_group_replication_says_that_it_rolled_back() -> None:
    error = ServerError(3101, "40000", "Plugin instructed the server to rollback the current transaction.")
    connection = Connection(failures={"commit": [error]})
    assert await reserve(connection) == NotReserved(error)
    assert connection.transcript[-1] == b"rollback"


@pytest.mark.parametrize("step", ["select", "begin", "update", "commit", "rollback"])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), OSError("gone")])
async def test_a_connection_left_in_the_middle_is_closed(step: str, error: BaseException) -> None:
    connection = Connection(failures={step: [error]})
    if step == "rollback":
        connection.rows = ()
    with pytest.raises(type(error)):
        await reserve(connection, verify=step == "select")
    assert connection.closed


async def test_an_error_of_the_check_is_passed_on() -> None:
    connection = Connection(failures={"select": [LOST]})
    outcome = await reserve(connection, verify=True)
    assert isinstance(outcome, NotReserved)
    assert isinstance(outcome.error, VgateError)
    assert connection.transcript == [PROPERTIES]
