"""The one catalogue of errors a client can be shown: id, MySQL errno, SQLSTATE, text and what to do.

Ids that begin with ``VT`` are Vitess's own, used where vgate refuses the same thing for the same reason;
ids that begin with ``VG`` are vgate's. The families follow Vitess: 03 bad input, 05 not found,
09 precondition, 12 unsupported, 13 bug, 14 connection, 15 transaction.

This module does not know where an error is raised, nor how it is put on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of error. ``text`` is a ``str.format`` template; ``remedy`` tells the user what to do."""

    id: str
    errno: int
    sqlstate: str
    text: str
    remedy: str = ""

    def __call__(self, **values: object) -> VgateError:
        """Make the error, its text filled in with ``values``."""
        return VgateError(self, self.text.format(**values))


class SqlError(Exception):
    """Anything that reaches a client as an ERR packet. Abstract: raise one of the two kinds below."""

    def __init__(self, errno: int, sqlstate: str, message: str) -> None:
        if type(self) is SqlError:
            raise TypeError("raise ServerError or a Fault of the catalogue")
        super().__init__(message)
        self.errno = errno
        self.sqlstate = sqlstate
        self.message = message


class VgateError(SqlError):
    """vgate's own refusal, of a kind in the catalogue."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(fault.errno, fault.sqlstate, f"{fault.id}: {message}" if fault.id else message)
        self.fault = fault


class ServerError(SqlError):
    """A backend server's own error, carried untouched."""


class ConfigError(Exception):
    """A configuration file cannot be used. ``str(error)`` says which line, what is wrong and what to do."""


# -- 03: bad input ----------------------------------------------------------------------------------------------
SYNTAX = Fault("", 1064, "42000", "You have an error in your SQL syntax; {detail}")
NO_DATABASE = Fault(
    "VT09005", 1046, "3D000",
    "no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are optional)",
)
TOO_MANY_ROWS = Fault(
    "VG03002", 1105, "HY000", "the INSERT has {rows} rows, more than limits.max_insert_rows in vgate.yaml ({limit})",
    "Insert fewer rows in one statement, or raise the limit.",
)
GATHER_TOO_LARGE = Fault(
    "VG03003", 1105, "HY000", "the query needs more than {what} from several shards, more than limits.{limit} in "
    "vgate.yaml; narrow it with a condition on the sharding column or on the table alone, or raise the limit",
)
KEPT_ROWS = Fault(
    "VG03004", 1105, "HY000", "{construct} has more than {what}, more than limits.{limit} in vgate.yaml: its rows are "
    "kept until all are there; take fewer at a time (LIMIT), or raise the limit",
)
COLUMN_COUNT = Fault("VT03006", 1136, "21S01", "column count does not match value count with the row at row {row}")

WRONG_NEXT = Fault("", 1234, "42000", "Incorrect usage/placement of 'NEXT'")
INVALID_INCREMENT = Fault("", 1105, "HY000", "invalid increment for sequence {name}: {value}")
NOT_A_SEQUENCE = Fault(
    "", 1105, "HY000", "{name} is not a sequence: mark it with `alter table {name} comment 'vitess_sequence'`, "
    "or correct the vschema",
)
NOT_A_SEQUENCE_TABLE = Fault(
    "", 1105, "HY000", "NEXT used on a non-sequence table `{name}`: declare it in vschema.yaml with {{type: sequence}}"
)
SEQUENCE_ROWS = Fault(
    "", 1105, "HY000", "unexpected rows from reading sequence {name} (possible mis-route): {count}; {what_to_do}"
)
SEQUENCE_VALUE = Fault(
    "", 1105, "HY000", "error loading sequence {name}: {column} is {value}, which is no signed 64-bit integer; "
    "mend it with `update {name} set {column} = ... where id = 0`",
)
SEQUENCE_CACHE = Fault(
    "", 1105, "HY000", "invalid cache value for sequence {name}: {cache}; "
    "mend it with `update {name} set cache = 1000 where id = 0`",
)
SEQUENCE_ENGINE = Fault(
    "", 1105, "HY000", "sequence {name} is in the storage engine {engine}, which has no transactions: proxies could "
    "issue the same value; use `alter table {name} engine = InnoDB`",
)
SEQUENCE_EXHAUSTED = Fault(
    "", 1105, "HY000", "sequence {name} has run out: {count} more would pass 9223372036854775807; "
    "if lower values are free, set next_id to one and restart every vgate",
)
SEQUENCE_NOT_WRITTEN = Fault(
    "", 1105, "HY000", "sequence {name} could not be advanced: its UPDATE changed {count} rows instead of 1; "
    "look for triggers and duplicate rows on that table",
)

WRONG_AUTO_KEY = Fault(
    "", 1075, "42000",
    "Incorrect table definition; there can be only one auto column and it must be defined as a key",
)
INVALID_DEFAULT = Fault("", 1067, "42000", "Invalid default value for '{name}'")
WRONG_SPECIFIER = Fault("", 1063, "42000", "Incorrect column specifier for column '{name}'")
UNKNOWN_SEQUENCE = Fault("", 4091, "42S02", "Unknown SEQUENCE: '{name}'")
SEQUENCE_EXISTS = Fault("", 1050, "42S01", "Sequence '{name}' already exists")
SEQUENCE_RAN_OUT = Fault(
    "", 4084, "HY000", "Sequence '{name}' has run out: {count} more would pass {maximum}",
    "Raise its MAXVALUE, or let it CYCLE.",
)
SEQUENCE_OPTION = Fault("VG12002", 4085, "HY000", "sequence {name}: {option} is refused: {reason}")
SEQUENCE_NUMBER = Fault("", 1064, "42000", "Numeric value expected right after {key}, must be a positive number!")
SEQUENCE_BACK = Fault(
    "VG09002", 4085, "HY000", "sequence {name} may have given values up to {reached}: START WITH {start} would give "
    "some of them again; begin above {reached}, or say that you mean it with RESTART WITH {start}",
)
NO_METADATA_KEYSPACE = Fault(
    "VG09003", 1105, "HY000", "sequences need a keyspace to keep their state in, and {reason}; add "
    "`metadata_keyspace: NAME` at the top of vschema.yaml, where NAME is a keyspace with `sharded: false`",
)
SEQUENCE_BATCH = Fault(
    "VG09004", 1105, "HY000", "sequence {name}: {count} consecutive values are more than {what} ({most})"
)
SEQUENCE_UNREAD = Fault(
    "VG14007", 1105, "HY000", "sequence {name}: the server that keeps it does not answer in time, and another "
    "vgate may have inserted ids of its own where values are in hand",
)
NEXTVAL_PLACE = Fault(
    "VT12001", 1235, "42000", "unsupported: NEXTVAL of {name} {where}; it stands in INSERT or REPLACE ... VALUES or "
    "SET, in SET and DO, in the select list of a SELECT without tables and, as a column of its own, of one with tables",
)
NO_TIME_NODE = Fault(
    "VG14006", 1105, "HY000", "all {count} node ids of {bits}-bit TIME sequences are leased to other vgates",
)

OUT_OF_ORDER = Fault("", 1156, "08S01", "Got packets out of order")
MALFORMED = Fault("", 1835, "HY000", "Malformed communication packet: {what}")
WRONG_VALUE = Fault("", 1231, "42000", "Variable '{name}' can't be set to the value of '{value}'")
EMPTY_QUERY = Fault("", 1065, "42000", "Query was empty")
WRONG_DATABASE_NAME = Fault("", 1102, "42000", "Incorrect database name '{name}'")
LONG_DATABASE_NAME = Fault("", 1059, "42000", "Identifier name '{name}' is too long")
INVALID_CHARACTERS = Fault("", 1300, "HY000", "Invalid {charset} character string: '{text}'")
UNKNOWN_COMMAND = Fault("", 1047, "08S01", "Unknown command")
NO_SAVEPOINT = Fault("", 1305, "42000", "SAVEPOINT {name} does not exist")
WRITE_DENIED = Fault(
    "", 1142, "42000", "write command denied to user '{user}'@'{host}', who is read_only in vgate.yaml"
)
ACTIVE_TRANSACTION = Fault(
    "", 1568, "25001", "Transaction characteristics can't be changed while a transaction is in progress"
)
NO_SUCH_TABLE = Fault("", 1146, "42S02", "Table '{name}' doesn't exist")
PACKET_TOO_LARGE = Fault("", 1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
UNKNOWN_STATEMENT = Fault("", 1243, "HY000", "Unknown prepared statement handler ({id}) given to mysqld_stmt_execute")
UNSUPPORTED_PREPARED = Fault(
    "", 1295, "HY000", "This command is not supported in the prepared statement protocol yet"
)
WRONG_ARGUMENTS = Fault("", 1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
UNKNOWN_NAME = Fault("", 1243, "HY000", "Unknown prepared statement handler ({name}) given to {verb}")
WRONG_USING = Fault("", 1210, "HY000", "Incorrect arguments to EXECUTE")
NEGATIVE_LIMIT = Fault("", 1690, "22003", "unsigned integer value is out of range in 'EXECUTE'")
NO_CURSOR = Fault("", 1421, "HY000", "The statement ({id}) has no open cursor.")
TOO_MANY_STATEMENTS = Fault(
    "", 1461, "42000", "Can't create more than max_prepared_stmt_count statements (current value: {limit})"
)
READ_LOCKED = Fault("", 1223, "HY000", "Can't execute the query because you have a conflicting read lock")
LOCAL_DISABLED = Fault(
    "", 3948, "42000", "Loading local data is disabled; this must be enabled on both the client and server sides"
)
LOCAL_DISABLED_MARIADB = Fault(
    "", 4166, "HY000",
    "The used command is not allowed because the MariaDB server or client has disabled the local infile capability",
)
NO_SUCH_THREAD = Fault("", 1094, "HY000", "Unknown thread id: {id}")
KILL_DENIED = Fault("", 1095, "HY000", "You are not owner of thread {id}")
INTERRUPTED = Fault("", 1317, "70100", "Query execution was interrupted")
CONNECTION_KILLED = Fault("", 1927, "70100", "Connection was killed")

INVALID_UTF8 = Fault("", 1105, "HY000", "cannot normalize string containing invalid UTF-8: {value}")
KEYSPACE_ID_UNSURE = Fault(
    "VG03001", 1105, "HY000", "the keyspace id of this value cannot be known for certain: {detail}"
)

# -- 05: not found ----------------------------------------------------------------------------------------------
DATABASE_EXISTS = Fault("", 1007, "HY000", "Can't create database '{name}'; database exists")
NO_SUCH_DATABASE = Fault("", 1008, "HY000", "Can't drop database '{name}'; database doesn't exist")
UNKNOWN_KEYSPACE = Fault("VT05003", 1049, "42000", "unknown database '{name}' in vschema")
UNKNOWN_TABLE = Fault(
    "VT05004", 1146, "42S02", "table {name} not found in the vschema",
    "Add the table to vschema.yaml, or qualify it with its keyspace.",
)
UNKNOWN_VSCHEMA_TABLE = Fault("VT05005", 1146, "42S02", "table '{name}' does not exist in keyspace '{keyspace}'")
UNKNOWN_SHARD = Fault("VG05001", 1049, "42000", "keyspace '{keyspace}' has no shard '{shard}'; it has {shards}")

# -- 09: precondition -------------------------------------------------------------------------------------------
CANNOT_MAP = Fault("VT09023", 1105, "HY000", "could not map {values} to a keyspace id")

GATHER_GRANT = Fault(
    "VG09005", 1044, "42000", "rows of several shards are gathered in temporary tables on {label}, where vgate's user "
    "may make none: GRANT CREATE TEMPORARY TABLES",
)
GATHER_BINLOG = Fault(
    "VG09006", 1227, "42000", "rows of several shards are gathered in temporary tables on {label}, which would write "
    "them to its binary log: set binlog_format = ROW there, or give vgate's user a grant to set it (BINLOG ADMIN on "
    "MariaDB, SYSTEM_VARIABLES_ADMIN or SESSION_VARIABLES_ADMIN on MySQL)",
)
TABLE_DISABLED = Fault("", 1105, "HY000", "table {name} has been disabled")
VINDEX_CONDITION = Fault(
    "VT09018", 1105, "HY000",
    "WHERE clause for vindex function must be of the form id = <val> or id in(<val>,...) ({reason})",
)
VSCHEMA_CHANGE = Fault("", 1815, "HY000", "{reason}")
VSCHEMA_INVALID = Fault("VG09007", 1815, "HY000", "{what}: {reason}", "Nothing was changed.")
VSCHEMA_FILE = Fault(
    "VG09008", 1815, "HY000", "vschema.yaml was not changed: {reason}", "Change the file by hand; vgate takes it up."
)
VSCHEMA_RESTART = Fault(
    "VG09009", 1815, "HY000", "vschema.yaml was edited in a way that needs a restart: {reason}", "Restart vgate."
)

# -- 12: unsupported --------------------------------------------------------------------------------------------
UNSUPPORTED = Fault("VT12001", 1235, "42000", "unsupported: {construct}")

SEQUENCE_OWNED = Fault(
    "VT12001", 1235, "42000", "unsupported: {verb} of {name}, which belongs to table {table}",
    "Change the table instead: ALTER TABLE, RENAME TABLE, DROP TABLE.",
)
TABLE_NOT_LISTED = Fault(
    "VT12001", 1235, "42000", "unsupported: a new table {name} on a sharded keyspace, as the VSchema does not say how"
    " it is sharded; say first: {statement}",
)
UNREADABLE = Fault(
    "VT12001", 1235, "42000", "unsupported: this statement on a sharded keyspace, as vgate cannot read it ({reason})",
    "Aim at one shard (use `keyspace:shard`), or write it otherwise.",
)

# -- 13: bugs ---------------------------------------------------------------------------------------------------
BUG = Fault("VT13001", 1815, "HY000", "[BUG] {detail}")

# -- 14: connections --------------------------------------------------------------------------------------------
BACKEND_LOST = Fault(
    "VG14001", 2013, "HY000", "lost connection to {label} during query",
    "Whether the statement took effect there is not known.",
)
BACKEND_UNREACHABLE = Fault("VG14002", 2003, "HY000", "cannot reach {label} at {where}: {reason}")
POOL_EXHAUSTED = Fault(
    "VG14003", 1203, "42000", "no connection to {label} became free within {seconds:g} s ({limit} are in use)",
    "Raise pools.max_connections in vgate.yaml, or shorten the transactions that hold connections.",
)
NO_ADDRESS = Fault(
    "VG14005", 2003, "HY000", "shard {label} has no address: give it host, port, user and password in vschema.yaml, "
    "or let `vgate local` start a private server for it",
)
SHUTTING_DOWN = Fault("VG14004", 1053, "08S01", "Server shutdown in progress")
INACTIVE = Fault(
    "", 4031, "HY000", "The client was disconnected by the server because of inactivity. See wait_timeout and "
    "interactive_timeout for configuring this behavior.",
)
TOO_MANY_CONNECTIONS = Fault("", 1040, "08004", "Too many connections")
BAD_HANDSHAKE = Fault("", 1043, "08S01", "Bad handshake")
OLD_CLIENT = Fault(
    "", 1251, "08004",
    "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
)
INSECURE_TRANSPORT = Fault(
    "", 3159, "HY000", "Connections using insecure transport are prohibited while --require_secure_transport=ON."
)
SUPER_NEEDED = Fault(
    "", 1227, "42000", "Access denied; you need (at least one of) the SUPER privilege(s) for this operation"
)
PRIVILEGE_NEEDED = Fault(
    "", 1227, "42000", "Access denied; you need (at least one of) the {privilege} privilege(s) for this operation"
)
ACCESS_DENIED = Fault("", 1045, "28000", "Access denied for user '{user}'@'{host}' (using password: {used})")
DATABASE_DENIED = Fault("", 1044, "42000", "Access denied for user '{user}'@'{host}' to database '{database}'")

# -- 15: transactions -------------------------------------------------------------------------------------------
TRANSACTION_BROKEN = Fault(
    "VT15001", 1105, "HY000", "transaction error, issue ROLLBACK and retry the transaction: a shard of it was lost"
)
PARTIAL_COMMIT = Fault(
    "VG15002", 1105, "HY000", "multi-db commit failed: committed on {committed}; not committed on {failed}: {reason}",
    "The shards no longer agree about this transaction; mend the data by hand.",
)
COPIES_DIFFER = Fault(
    "VG15004", 1105, "HY000", "the shards answer this write to a reference table differently ({answers}), so nothing "
    "was written: their copies are not the same",
    "Compare the table on each shard (use `keyspace:shard`) and make the copies equal.",
)
ADD_PARTIAL = Fault(
    "VG15005", 1105, "HY000", "column {column} was added on shards {done} but not on {failed}: {reason}",
    "Mend the cause, take back there what the statement did (use `keyspace:shard`), and repeat it.",
)
DDL_PARTIAL = Fault(
    "VG15003", 1105, "HY000", "the statement ran on shards {done} but not on {failed}: {reason}",
    "Mend the cause and run it on the failed shards alone (use `keyspace:shard`).",
)
