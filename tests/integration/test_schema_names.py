"""No table of information_schema tells what servers call the keyspaces' databases, and names are those of one server.

The databases are called otherwise than their keyspaces, with a ``-``, which InnoDB writes otherwise yet; ``shop_-`` and
``customer_-40`` are on one server, so that each keyspace has something to keep from the other. It does not know what
else the tables hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime

import pytest

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_servers import Cluster, Server
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.asking import Later, until
from tests.integration.conftest import serve
from tests.integration.executing import Prepared
from vgate.sql.filenames import filename_of
from vgate.sql.versioned import Flavour

VSCHEMA = """
keyspaces:
  shop: {shards: ["-"], tables: {}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
      line: {column_vindexes: [{column: customer_id, name: hash}]}
      place: {column_vindexes: [{column: customer_id, name: hash}]}
    shards: ["-40", "40-"]
"""
DATABASES = ("shop_-", "customer_-40", "customer_40-")
LEAKS = {spelled for database in DATABASES for spelled in (database, filename_of(database))}

CUSTOMER = """
create table customer (customer_id bigint primary key, n int, t varchar(50), key k (n), fulltext key ft (t))
create table line (customer_id bigint, line int, primary key (customer_id, line), \
constraint fk foreign key (customer_id) references customer (customer_id))
create table place (customer_id bigint primary key, g geometry not null, spatial index (g))
insert into customer (customer_id, n, t) values (1, 1, 'one'), (2, 2, 'two'), (3, 3, 'three'), (4, 4, 'four')
insert into line values (1, 1), (2, 1), (3, 1), (4, 1)
"""
SHOP = """
create table item (id int primary key, n int, name varchar(20), key k (n), check (n < 1000))
create table `o-d` (id int primary key, item int, g geometry not null, spatial index (g), constraint `f-1` \
foreign key (item) references shop.item (id))
create table part (id int primary key, n int) partition by hash (id) partitions 2
create table squeezed (id int primary key, n int) row_format=compressed
create view shop.v as select shop.item.id from shop.item
create function f1(x int) returns int deterministic return x + 0 * (select count(*) from shop.item)
create view vf as select shop.f1(1) as one
create procedure p1(x int) select shop.item.id from shop.item
create trigger tr1 before insert on item for each row set @n = (select count(*) from shop.`o-d`)
create event e1 on schedule every 1 day starts '2030-01-01' do insert into shop.part select id, n from shop.item
create table gone (id int)
create view broken as select shop.gone.id from shop.gone
drop table gone
insert into item values (1, 1, 'a'), (2, 2, 'b')
insert into part values (1, 1), (2, 2)
"""
ON_SERVERS = {
    Flavour.MARIADB: ("set global userstat = 1", "set global innodb_cmp_per_index_enabled = 1"),
    Flavour.MYSQL: (
        "set global innodb_cmp_per_index_enabled = 1", "create role if not exists teller", "grant teller to ACCOUNT",
        "set default role teller to ACCOUNT",
    ),
}  # fmt: skip
AS_BEFORE = {
    Flavour.MARIADB: ("set global userstat = 0", "set global innodb_cmp_per_index_enabled = 0"),
    Flavour.MYSQL: ("set global innodb_cmp_per_index_enabled = 0", "drop role if exists teller"),
}
ON_DATABASES = {
    Flavour.MARIADB: (),
    Flavour.MYSQL: (
        "create library KS.lib language javascript as 'export function f(n) { return n }'",
        "create function KS.jf(n int) returns int language javascript using (KS.lib) as 'return lib.f(n)'",
        "create table KS.head (id int primary key)",
        "create table KS.tail (id int primary key, head int, foreign key (head) references KS.head (id))",
        "create json relational duality view KS.jv as select json_duality_object('_id': id, 'tails': (select"
        " json_arrayagg(json_duality_object('id': id, 'head': head)) from KS.tail where tail.head = head.id))"
        " from KS.head",
        "analyze table KS.TABLE update histogram on n", "grant select, insert on KS.TABLE to teller",
        "grant select (n) on KS.TABLE to teller",
    ),
}  # fmt: skip


TOLD = """
    columns events innodb_buffer_page innodb_buffer_page_lru key_column_usage parameters partitions processlist
    referential_constraints routines schemata statistics table_constraints tables triggers views
"""
TOLD_MARIADB = """
    geometry_columns innodb_sys_foreign innodb_sys_foreign_cols innodb_sys_tables innodb_sys_tablespaces
    innodb_sys_tablestats table_statistics
"""
TOLD_MYSQL = """
    check_constraints column_privileges column_statistics columns_extensions files innodb_datafiles innodb_foreign
    innodb_foreign_cols innodb_tables innodb_tablespaces innodb_tablespaces_brief innodb_tablestats
    json_duality_view_columns json_duality_view_links json_duality_view_tables json_duality_views libraries
    role_column_grants role_table_grants routine_libraries schemata_extensions st_geometry_columns
    table_constraints_extensions table_privileges tables_extensions tablespaces_extensions view_routine_usage
    view_table_usage
"""
"""Tables that tell of databases, and have rows here."""


@pytest.fixture(scope="module")
def named(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """vgate over those databases, and the same tables on the plain server in databases of the keyspaces' names."""
    cluster.clear()
    cluster.plain.query("create database shop")
    for server in cluster.servers:
        ((account,),) = server.query("select current_user()")
        for sql in ON_SERVERS[cluster.flavour]:
            server.query(sql.replace("ACCOUNT", account))
    vgate = serve(tmp_path_factory.mktemp("named"), cluster, USERS, VSCHEMA)
    for keyspace, statements in (("customer", CUSTOMER), ("shop", SHOP)):
        with closing(vgate.connect(keyspace)) as one, closing(cluster.plain.connect(keyspace)) as other:
            oracle = Oracle(one, other, cluster, vgate)
            for sql in statements.strip().replace("\\\n", "").splitlines():
                oracle.both(sql, ignore=["info", "warnings"])
    homes = {"shop_-": ("product/-", "item"), "customer_-40": ("product/-", "customer"),
             "customer_40-": ("customer/-80", "customer")}  # fmt: skip
    places = [(cluster[name], database, table) for database, (name, table) in homes.items()]
    for server, database, table in (*places, (cluster.plain, "shop", "item"), (cluster.plain, "customer", "customer")):
        for sql in ON_DATABASES[cluster.flavour]:
            server.query(sql.replace("KS", f"`{database}`").replace("TABLE", table))
    yield vgate
    vgate.kill()
    for server in cluster.servers:
        for sql in AS_BEFORE[cluster.flavour]:
            server.query(sql)


@pytest.fixture(params=["shop", "customer"])
def both(request: pytest.FixtureRequest, named: VgateProcess, cluster: Cluster) -> Iterator[tuple[str, Oracle]]:
    """The keyspace in use, and sessions that use it."""
    keyspace = str(request.param)
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(closing(one.connect(keyspace))) for one in (named, cluster.plain))
        yield keyspace, Oracle(mine, theirs, cluster, named)


def tables(oracle: Oracle) -> list[str]:
    """Every table of information_schema that the server has."""
    rows = oracle.cluster.plain.query(
        "select table_name from information_schema.tables where table_schema = 'information_schema'"
    )
    return sorted(name for (name,) in rows)


def test_no_table_tells_of_the_servers_databases(both: tuple[str, Oracle]) -> None:
    """All columns of all rows; a table that cannot be read cannot be read for the server's own reason."""
    _, oracle = both
    seen: dict[str, int] = {}
    for table in tables(oracle):
        sql = f"select * from information_schema.{table}"
        mine, theirs = ask(oracle.vgate, sql), ask(oracle.plain, sql)
        assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), (table, mine.error)
        assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], table
        assert leaks(mine) == set(), table
        seen[table.lower()] = len(mine.rows)
    with_rows = (TOLD + (TOLD_MARIADB if oracle.cluster.flavour is Flavour.MARIADB else TOLD_MYSQL)).split()
    assert {table for table in with_rows if not seen[table]} == set()  # else nothing was looked at


def leaks(answer: Answer) -> set[str]:
    """The cells that say what a server calls a database."""
    cells = (
        cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
        for row in answer.rows for cell in row if cell is not None
    )  # fmt: skip
    return {cell for cell in cells if any(leak in cell for leak in LEAKS)}


OURS = "in ('customer', 'shop')"
EVERYWHERE = f"""
select table_schema, table_name, action_statement from information_schema.triggers join information_schema.tables \
on event_object_schema = table_schema and event_object_table = table_name where table_schema = 'shop'
select routine_schema, routine_name, routine_definition from information_schema.routines where routine_schema {OURS}
select event_schema, event_definition from information_schema.events
select table_name, view_definition, definer from information_schema.views where table_schema = 'shop'
select constraint_schema, table_name, referenced_table_schema, referenced_table_name from \
information_schema.key_column_usage where referenced_table_schema {OURS}
"""
EVERYWHERE_MARIADB = f"""
select f_table_schema, f_table_name, g_table_schema, g_geometry_column from information_schema.geometry_columns where \
f_table_schema {OURS}
select g_table_name from information_schema.geometry_columns where g_table_schema = 'customer'
select table_schema, table_name from information_schema.table_statistics where table_schema = 'shop' and \
table_name in ('item', 'part')
"""
EVERYWHERE_MYSQL = f"""
select * from information_schema.st_geometry_columns where table_schema {OURS}
select * from information_schema.columns_extensions where table_schema {OURS}
select * from information_schema.tables_extensions where table_schema {OURS}
select * from information_schema.table_constraints_extensions where constraint_schema {OURS}
select * from information_schema.schemata_extensions where schema_name {OURS}
select * from information_schema.view_table_usage where view_schema {OURS}
select view_name, table_name from information_schema.view_table_usage where view_schema = 'shop' and \
table_schema = view_schema
select * from information_schema.view_routine_usage where table_schema {OURS}
select schema_name, table_name, column_name, histogram->>'$."histogram-type"' from information_schema.column_statistics
select grantee, table_schema, table_name, column_name from information_schema.role_column_grants
select grantee, table_schema, table_name, privilege_type from information_schema.role_table_grants
select grantee, table_schema, table_name, privilege_type from information_schema.table_privileges where \
table_schema {OURS}
select * from information_schema.json_duality_views
select table_schema, referenced_table_schema, referenced_column_name from information_schema.json_duality_view_columns
select table_schema, referenced_table_schema, where_clause from information_schema.json_duality_view_tables
select * from information_schema.json_duality_view_links
select library_schema, library_name, library_definition from information_schema.libraries
select routine_schema, routine_name, library_schema, library_name from information_schema.routine_libraries
select x.view_name from information_schema.view_table_usage x join information_schema.tables t using (table_schema, \
table_name) where t.table_schema = 'shop'
"""


def lines(statements: str, keyspace: str = "") -> list[str]:
    return [line for line in statements.replace("KS", keyspace).splitlines() if line]


def test_every_keyspace_is_told_of(both: tuple[str, Oracle]) -> None:
    """Tables whose rows name a database in a column of their own have those of all keyspaces, once."""
    _, oracle = both
    of_flavour = EVERYWHERE_MARIADB if oracle.cluster.flavour is Flavour.MARIADB else EVERYWHERE_MYSQL
    for sql in lines(EVERYWHERE + of_flavour):
        mine, theirs = alike(oracle, sql)
        assert theirs.rows, sql
        assert spaced(mine) == spaced(theirs), sql


def spaced(answer: Answer) -> list[tuple[object, ...]]:
    """Names in programs may have been quoted on their way."""
    return sorted(
        (tuple(cell.replace("`", "") if isinstance(cell, str) else cell for cell in row) for row in answer.rows),
        key=repr,
    )  # fmt: skip


def alike(oracle: Oracle, sql: str) -> tuple[Answer, Answer]:
    """Answers of both, of which columns and errors have been compared."""
    mine, theirs = ask(oracle.vgate, sql), ask(oracle.plain, sql)
    assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), (sql, mine.error, theirs.error)
    assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql
    return mine, theirs


NAMED = """
select table_name, count(*) > 0 from information_schema.innodb_buffer_page where table_name like '`KS`.%' and \
table_name not like '%fts%' group by table_name
select distinct Table_Name from information_schema.innodb_buffer_page where table_name = '`KS`.`item`' or \
table_name = '`KS`.`customer`'
select distinct table_name from information_schema.innodb_buffer_page_lru where table_name in ('`KS`.`item`', \
'`KS`.`line`')
"""
NAMED_MARIADB = """
select name from information_schema.innodb_sys_tables where name like 'KS/%' and name not like '%/fts%'
select t.name, s.name, replace(s.filename, './', '') from information_schema.innodb_sys_tables t join \
information_schema.innodb_sys_tablespaces s on s.space = t.space where t.name like 'KS/%' and t.name not like '%/fts%'
select NAME, row_format from information_schema.innodb_sys_tables where name in ('KS/item', 'KS/customer', 'KS/o@002dd')
select innodb_sys_tables.name from information_schema.innodb_sys_tables where innodb_sys_tables.name in \
('KS/place', 'KS/squeezed')
select name, stats_initialized from information_schema.innodb_sys_tablestats where name = 'KS/item' or name = 'KS/line'
select id, for_name, ref_name, n_cols from information_schema.innodb_sys_foreign where id like 'KS/%'
select id, ref_name, for_col_name, ref_col_name from information_schema.innodb_sys_foreign join \
information_schema.innodb_sys_foreign_cols using (id) where for_name like 'KS/%'
select filename from information_schema.innodb_sys_tablespaces where filename like './KS/%' and \
filename not like '%FTS%'
select name from information_schema.innodb_sys_tablespaces where name not like '%/%' or name like 'mysql/%'
select t.table_name, i.n_cols from information_schema.tables t join information_schema.innodb_sys_tables i on \
i.name = concat(t.table_schema, '/', t.table_name) where t.table_schema = 'KS'
"""
NAMED_MYSQL = """
select name from information_schema.innodb_tables where name like 'KS/%' and name not like '%/fts%'
select name, row_format from information_schema.innodb_tables where name in ('KS/item', 'KS/customer', 'KS/o@002dd')
select INNODB_TABLES.NAME from information_schema.INNODB_TABLES where INNODB_TABLES.NAME in \
('KS/place', 'KS/squeezed')
select name, space_type, state from information_schema.innodb_tablespaces where name like 'KS/%' and \
name not like '%/fts%'
select name, path from information_schema.innodb_tablespaces_brief where name like 'KS/%' and name not like '%/fts%'
select d.path, t.name from information_schema.innodb_datafiles d join information_schema.innodb_tablespaces t using \
(space) where d.path like './KS/%' and path not like '%/fts%'
select path from information_schema.innodb_datafiles where path not like './%/%' or path like './sys/%'
select name from information_schema.innodb_tablestats where name = 'KS/item' or name = 'KS/line'
select id, for_name, ref_name, n_cols from information_schema.innodb_foreign where id like 'KS/%'
select id, ref_name, for_col_name, ref_col_name from information_schema.innodb_foreign join \
information_schema.innodb_foreign_cols using (id) where for_name like 'KS/%'
select file_name, file_type, tablespace_name from information_schema.files where tablespace_name like 'KS/%' and \
tablespace_name not like '%/fts%'
select file_name, tablespace_name from information_schema.files where tablespace_name not like '%/%'
select * from information_schema.tablespaces_extensions where tablespace_name like 'KS/%' and \
tablespace_name not like '%/fts%'
select t.table_name, i.n_cols from information_schema.tables t join information_schema.innodb_tables i on \
i.name = concat(t.table_schema, '/', t.table_name) where t.table_schema = 'KS'
"""


def test_names_are_those_of_one_server(both: tuple[str, Oracle]) -> None:
    """Also where they are asked for; and a table of one server says nothing of another keyspace's."""
    keyspace, oracle = both
    of_flavour = NAMED_MARIADB if oracle.cluster.flavour is Flavour.MARIADB else NAMED_MYSQL
    for sql in lines(NAMED + of_flavour, keyspace):
        mine, theirs = alike(oracle, sql)
        assert theirs.rows, sql
        assert mine.sorted().rows == theirs.sorted().rows, sql


def test_a_table_that_the_server_does_not_have(both: tuple[str, Oracle]) -> None:
    _, oracle = both
    for table in ("innodb_sys_tables", "innodb_tables", "files", "geometry_columns", "libraries", "innodb_locks"):
        alike(oracle, f"select count(*) > 1 from information_schema.{table} where 0")


def test_with_information_schema_in_use(both: tuple[str, Oracle]) -> None:
    """There is no keyspace in use then: the first unsharded one is told of."""
    _, oracle = both
    table = "innodb_sys_tables" if oracle.cluster.flavour is Flavour.MARIADB else "innodb_tables"
    with (
        closing(oracle.process.connect("information_schema")) as mine,
        closing(oracle.cluster.plain.connect("information_schema")) as theirs,
    ):
        within = Oracle(mine, theirs, oracle.cluster, oracle.process)
        sql = f"select name, row_format from {table} where name like 'shop/%' and name not like '%/fts%'"
        assert within.both(sql, ignore=["columns"]).rows


STRANGERS = """
select table_schema, table_name from information_schema.tables where table_schema = 'shop_-'
select schema_name from information_schema.schemata where schema_name in ('shop', 'customer_-40', 'customer_40-')
select count(*) from information_schema.columns where table_schema = 'customer_-40' or table_schema = 'shop'
select table_name from information_schema.tables where table_schema like 'shop__'
select name from information_schema.KIND where name like 'shop@%' or name like 'customer@_@%'
prepare s from 'select table_name from information_schema.tables where table_schema = ?'
set @a = 'shop_-', @b = 'shop'
execute s using @a
execute s using @b
deallocate prepare s
table information_schema.nosuch
"""


def test_databases_are_not_there_under_their_names(both: tuple[str, Oracle]) -> None:
    """As it is on a server that has none of that name."""
    _, oracle = both
    kind = "innodb_sys_tables" if oracle.cluster.flavour is Flavour.MARIADB else "innodb_tables"
    for sql in lines(STRANGERS.replace("KIND", kind)):
        oracle.both(sql, ignore=["columns", "info", "warnings"])


def test_table_is_a_statement(both: tuple[str, Oracle]) -> None:
    _, oracle = both
    if oracle.cluster.flavour is Flavour.MARIADB:
        pytest.skip("MariaDB 10.11 does not know TABLE")
    for sql in ("table information_schema.innodb_foreign order by id",
                "select count(*) > 0 from (table information_schema.tables) t"):  # fmt: skip
        mine, _ = alike(oracle, sql)
        assert leaks(mine) == set(), sql


def test_prepared(both: tuple[str, Oracle]) -> None:
    keyspace, oracle = both
    table = "innodb_sys_tables" if oracle.cluster.flavour is Flavour.MARIADB else "innodb_tables"
    sql = f"select name from information_schema.{table} where name like '{keyspace}/%' and n_cols > ?"
    found: list[list[bytes]] = []
    for connection in (oracle.vgate, oracle.plain):
        prepared = Prepared(connection)
        found.append([row for row in prepared.execute(prepared.prepare(sql), 3) if b"/fts" not in row.lower()])
    assert found[1]
    assert sorted(found[0]) == sorted(found[1])


def test_a_transaction_that_waits(both: tuple[str, Oracle]) -> None:
    """Locks name a table, and a statement of somebody's is told as it is on its way; both only of this keyspace's."""
    keyspace, oracle = both
    change = "update shop.item set n = 5 where id = 1" if keyspace == "shop" else (
        "update customer.customer set n = 5 where customer_id = 1"
    )  # fmt: skip
    with closing(oracle.process.connect(keyspace)) as second:
        for sql in ("begin", change):
            assert ask(oracle.vgate, sql).error is None
        ask(second, "begin")
        later = Later(second, change)
        server = oracle.cluster["product/-"]
        until(lambda: "LOCK WAIT" in server.query("show engine innodb status")[0][2], "it does not wait")
        server.query("select sleep(0.2)")  # innodb_trx is a copy, as old as nobody has left it alone for 0.1 s
        sql = "select trx_query from information_schema.innodb_trx where trx_query like 'update%'"
        ((query,),) = ask(oracle.vgate, sql).rows
        assert f"`{keyspace}`" in query
        for table in ("innodb_trx", "innodb_locks"):
            assert leaks(ask(oracle.vgate, f"select * from information_schema.{table}")) == set()
        if oracle.cluster.flavour is Flavour.MARIADB:
            locked = ask(oracle.vgate, "select distinct lock_table from information_schema.innodb_locks").rows
            assert locked == ((f"`{keyspace}`.`{'item' if keyspace == 'shop' else 'customer'}`",),)
        ask(oracle.vgate, "rollback")
        assert later.result().error is None
        ask(second, "rollback")


SHOWS = """
show table status like 'broken'
show triggers
show triggers from shop
show events from shop
show function status where db = 'shop'
show procedure status where db = 'shop'
show procedure status like 'p1'
show create view shop.v
show create view shop.broken
show create trigger shop.tr1
show create procedure shop.p1
show create function shop.f1
show create event shop.e1
show create table shop.`o-d`
show create table customer.line
show open tables where `Database` = 'nosuch'
show open tables like 'nosuch'
show full columns from shop.item
show create database KS
explain select * from shop.v
"""
LISTS = """
show table status
show open tables
show open tables where in_use = 0 or 1
show open tables like '%e%'
show procedure status
show function status where 1
show engine innodb status
"""


def test_shows(both: tuple[str, Oracle]) -> None:
    """What SHOW says is not what the servers call the databases either."""
    keyspace, oracle = both
    for sql in lines(SHOWS + LISTS, keyspace):
        mine, theirs = alike(oracle, sql)
        assert leaks(mine) == set(), sql
        if sql in lines(SHOWS, keyspace) and not sql.startswith(ELSEWHERE[keyspace]):
            assert without_times(mine) == without_times(theirs), sql
    if oracle.cluster.flavour is Flavour.MARIADB:
        for sql in ("show table_statistics", "show index_statistics"):
            assert leaks(ask(oracle.vgate, sql)) == set(), sql
    else:
        assert leaks(ask(oracle.vgate, "explain format=json select shop.item.id from shop.item")) == set()


ELSEWHERE = {
    "shop": ("explain",),
    "customer": ("explain", "show function status", "show procedure status", "show create view"),
}
"""The servers of another keyspace are not asked; and a server leaves out the name of the database that is in use."""


def without_times(answer: Answer) -> list[tuple[object, ...]]:
    rows = [tuple(cell for cell in row if not isinstance(cell, datetime)) for row in answer.rows]
    return spaced(replace(answer, rows=tuple(rows)))


def test_every_character_is_written_as_servers_do(mariadb_server: Server) -> None:
    """``sql.filenames``, by MariaDB's own conversion: all characters that a name may have."""
    characters = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x10000))]
    with closing(mariadb_server.connect()) as connection, connection.cursor() as cursor:
        for at in range(0, len(characters), 1000):
            part = characters[at : at + 1000]
            asked = (f"convert(_utf8mb4 0x{one.encode().hex()} using filename)" for one in part)
            cursor.execute(f"select {', '.join(f'cast({one} as binary)' for one in asked)}")
            (row,) = cursor.fetchall()
            assert [cell.decode() for cell in row] == [filename_of(one) for one in part]
