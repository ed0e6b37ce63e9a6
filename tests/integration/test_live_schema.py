"""Tables and findings as read from real servers of each flavour."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing

import pytest

from tests.fix_servers import Cluster, Server
from vgate.backend.connection import BackendConnection, open_connection
from vgate.backend.inspect import inspect
from vgate.backend.promises import Finding, Severity
from vgate.backend.schema import Ask, Cells, read_table
from vgate.planner.columns import ColumnKind, ColumnType, TableInfo, UniqueKey
from vgate.sql.versioned import Flavour
from vgate.vschema.load import parse_vschema
from vgate.vschema.model import TableName

VSCHEMA = """
keyspaces:
  product: {tables: {good_seq: {type: sequence}, bad_seq: {type: sequence}, no_seq: {type: sequence}}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}, xx: {type: xxhash}}
    tables:
      customer:
        column_vindexes: [{column: customer_id, name: hash}]
        auto_increment: {column: customer_id, sequence: product.good_seq}
      orders: {column_vindexes: [{column: customer_id, name: hash}]}
      text: {column_vindexes: [{column: name, name: xx}]}
      real: {column_vindexes: [{column: x, name: hash}]}
      differs: {column_vindexes: [{column: id, name: hash}]}
    shards: ["-80", "80-"]
"""
SHARD = """
create table customer (customer_id bigint primary key, email varchar(20) unique);
create table orders (
  id int auto_increment primary key, customer_id bigint, parent int,
  constraint apart foreign key (parent) references orders (id),
  constraint together foreign key (customer_id) references customer (customer_id));
create table text (name varchar(20) character set utf8mb4 collate utf8mb4_general_ci primary key);
create table `real` (x double);
"""
SEQUENCES = """
create table good_seq (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence';
insert into good_seq values (0, 1, 3);
create table bad_seq (id int, next_id int, cache bigint);
"""
TABLE = """
create table `it's` (
  ID bigint unsigned not null auto_increment primary key, dec_ decimal(10,3) default 1.5, small smallint default -3,
  c char(10) default 'a''b\\\\c', n varchar(20) character set latin1 default 'NULL',
  blank varchar(5) not null default '', raw varbinary(20) default 'ab', fixed binary(16),
  day date default '2020-01-01', at datetime default current_timestamp,
  e enum('x,y') default 'x,y', real_ double, body text, twice int generated always as (small * 2) stored,
  computed varchar(40) default (uuid()), nothing int default null, hidden int invisible default 7,
  unique key both_ (n, day), unique key prefix (body(5)), unique key raw (raw)
) comment 'vitess_sequence and more'
"""


def execute(server: Server, database: str, statements: str) -> None:
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        for statement in filter(str.strip, statements.split(";\n")):
            cursor.execute(statement)


@pytest.fixture
async def ask_of() -> AsyncIterator[Callable[[Server, str], Ask]]:
    """Makes ports to servers: one connection each, opened when first used, closed at the end."""
    opened: dict[tuple[str, str], BackendConnection] = {}

    def port(server: Server, database: str) -> Ask:
        async def ask(sql: str) -> list[Cells]:
            key = (server.name, database)
            if key not in opened:
                opened[key] = await open_connection(
                    server.address(database), server.name, found_rows=False, patience=10.0
                )
            return await opened[key].rows(sql)

        return ask

    yield port
    for connection in opened.values():
        connection.close()


async def test_read_table(plain: Server, ask_of: Callable[[Server, str], Ask]) -> None:
    execute(plain, "mysql", "drop database if exists `look at`;\ncreate database `look at`")
    execute(plain, "look at", TABLE)
    ask = ask_of(plain, "look at")
    info = await read_table(ask, "look at", TableName("ks", "it's"))
    assert info is not None
    assert info.name == TableName("ks", "it's")
    assert info.comment == "vitess_sequence and more"
    assert info.unique_keys == (
        UniqueKey("PRIMARY", ("id",)), UniqueKey("both_", ("n", "day")), UniqueKey("prefix", ("",)),
        UniqueKey("raw", ("raw",)),
    )  # fmt: skip
    _check_types(info)
    _check_defaults(info)
    assert await read_table(ask, "look at", TableName("ks", "It's")) is None
    assert await read_table(ask, "nowhere", TableName("ks", "it's")) is None
    execute(plain, "mysql", "drop database `look at`")


def of(info: TableInfo, name: str) -> ColumnType:
    column = info.column(name)
    assert column is not None, name
    return column


def _check_types(info: TableInfo) -> None:
    kinds = {column.name: column.kind for column in info.columns}
    assert list(kinds) == [
        "id", "dec_", "small", "c", "n", "blank", "raw", "fixed", "day", "at", "e", "real_", "body", "twice",
        "computed", "nothing", "hidden",
    ]  # fmt: skip
    assert {name for name, kind in kinds.items() if kind is ColumnKind.OTHER} == {"at", "e", "real_"}
    assert {name for name, kind in kinds.items() if kind is ColumnKind.TEXT} == {"c", "n", "blank", "body", "computed"}
    number = of(info, "id")
    assert (number.bits, number.unsigned, number.auto_increment, number.nullable) == (64, True, True, False)
    assert (of(info, "small").bits, of(info, "dec_").scale) == (16, 3)
    assert (of(info, "c").fixed, of(info, "c").length) == (True, 10)
    assert (of(info, "n").charset, of(info, "n").collation) == ("latin1", "latin1_swedish_ci")
    assert (of(info, "fixed").kind, of(info, "fixed").length, of(info, "fixed").fixed) == (ColumnKind.BINARY, 16, True)
    assert of(info, "raw").collation == "binary"
    assert [column.name for column in info.columns if column.generated] == ["twice"]
    assert [column.name for column in info.columns if column.invisible] == ["hidden"]


def _check_defaults(info: TableInfo) -> None:
    assert [column.name for column in info.columns if column.computed_default] == ["at", "computed"]
    assert {column.name: column.default for column in info.columns if not column.computed_default} == {
        "id": None, "dec_": "1.500", "small": "-3", "c": "a'b\\c", "n": "NULL", "blank": "", "raw": "ab", "fixed": None,
        "day": "2020-01-01", "e": "x,y", "real_": None, "body": None, "twice": None, "nothing": None, "hidden": "7",
    }  # fmt: skip


async def findings_of(cluster: Cluster, ask_of: Callable[[Server, str], Ask]) -> list[Finding]:
    vschema = parse_vschema(VSCHEMA, filename="", environ={}, read_file=lambda name: name)

    def ask_for(keyspace: str, index: int) -> Ask:
        shard = vschema.keyspace(keyspace).shards[index].name
        return ask_of(cluster[f"{keyspace}/{shard}"], keyspace)

    return await inspect(vschema, ask_for)


async def test_inspect(fresh: Cluster, ask_of: Callable[[Server, str], Ask]) -> None:
    execute(fresh["product/-"], "product", SEQUENCES)
    for name in ("customer/-80", "customer/80-"):
        execute(fresh[name], "customer", SHARD)
    execute(fresh["customer/-80"], "customer", "create table differs (id int)")
    execute(fresh["customer/80-"], "customer", "create table differs (id bigint);\ncreate table stray (id int)")
    execute(fresh["customer/80-"], "customer", "insert into orders () values ();\ninsert into customer values (9, 'a')")
    found = await findings_of(fresh, ask_of)
    said = [(finding.where, finding.severity.value, finding.what.split(":")[0]) for finding in found]
    text = "name (varchar(20)) has collation utf8mb4_general_ci, under which values are equal whose bytes are not, but"
    width = "(11)" if fresh.flavour is Flavour.MARIADB else ""
    assert said == [
        ("customer.differs", "fault", "the definition differs between shards"),
        ("customer.stray", "fault", "the table is missing on -80"),
        ("customer.real", "fault", "the sharding column x (double) has a type that values cannot be routed by"),
        ("product.bad_seq", "fault", "the sequence has no rows with id 0"),
        ("product.no_seq", "fault", "the sequence table does not exist"),
        ("customer.stray", "warning", "the table is not in the VSchema, so statements that name it are refused"),
        ("customer.customer", "warning", "UNIQUE key email (email) does not contain the sharding column customer_id"),
        ("customer.orders", "warning", "PRIMARY KEY (id) does not contain the sharding column customer_id"),
        ("customer.orders", "warning", "column id is AUTO_INCREMENT without a sequence"),
        ("customer.orders", "warning", "foreign key apart (parent) references orders (id), whose rows may be on other"
                                       " shards"),
        ("customer.text", "warning", f"the sharding column {text} vindex xx (xxhash) places rows by bytes"),
        ("product.good_seq", "warning", "next_id is 1, but customer.customer has a row with id 9"),
        ("product.bad_seq", "warning", "the table lacks the comment 'vitess_sequence', by which Vitess knows"
                                       " sequences"),
        ("product.bad_seq", "warning", f"column next_id is int{width}, not a signed bigint"),
    ]  # fmt: skip
    assert all(finding.remedy.endswith(".") for finding in found)


async def test_the_remedies_for_sequences_mend_them(fresh: Cluster, ask_of: Callable[[Server, str], Ask]) -> None:
    execute(fresh["product/-"], "product", SEQUENCES)
    for name in ("customer/-80", "customer/80-"):
        execute(fresh[name], "customer", "create table customer (customer_id bigint primary key)")
    execute(fresh["customer/-80"], "customer", "insert into customer values (55)")
    before = [finding for finding in await findings_of(fresh, ask_of) if finding.where.startswith("product.")]
    assert {finding.where for finding in before} == {"product.good_seq", "product.bad_seq", "product.no_seq"}
    for finding in before:
        execute(fresh["product/-"], "product", finding.remedy.rstrip(".").replace("; ", ";\n"))
    after = [finding for finding in await findings_of(fresh, ask_of) if finding.where.startswith("product.")]
    assert after == []
    assert fresh["product/-"].query("select next_id from good_seq", "product") == ((56,),)


async def test_shards_whose_servers_differ(fresh: Cluster, ask_of: Callable[[Server, str], Ask]) -> None:
    execute(fresh["customer/-80"], "customer", "alter database customer character set latin1")
    execute(fresh["customer/-80"], "customer", "set global time_zone = '+02:00'")
    try:
        found = [finding for finding in await findings_of(fresh, ask_of) if finding.where == "keyspace customer"]
    finally:
        execute(fresh["customer/-80"], "customer", "set global time_zone = 'SYSTEM'")
    assert [finding.severity for finding in found] == [Severity.WARNING] * 3
    assert [finding.what.split(":")[0] for finding in found] == [
        "shards differ in default character set", "shards differ in default collation", "shards differ in time zone",
    ]  # fmt: skip
