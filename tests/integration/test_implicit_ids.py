"""AUTO_INCREMENT on a sharded keyspace: CREATE TABLE makes the sequence, shards the table, and DDL carries both along.

What is inserted afterwards is compared with one server that counts for itself.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.fix_oracle import Answer, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, StartVgate, VgateProcess, run_vgate, with_addresses
from tests.integration.asking import Connection, Later, until
from vgate.vschema.load import load_vschema
from vgate.vschema.model import Table

FREE = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    auto_vindex: hash
    foreign_keys: drop
    secondary_unique: local
"""
STRICT = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    vindexes: {hash: {type: hash}}
    tables:
      person: {column_vindexes: [{column: id, name: hash}]}
      orders: {column_vindexes: [{column: person_id, name: hash}]}
"""


@pytest.fixture
def free(fresh: Cluster, start_vgate: StartVgate) -> VgateProcess:
    return start_vgate(FREE)


@pytest.fixture
def client(free: VgateProcess) -> Iterator[Connection]:
    with closing(free.connect("customer")) as connection:
        yield connection


def ok(connection: Connection, sql: str) -> Answer:
    answer = ask(connection, sql)
    assert answer.error is None, (sql, answer.error)
    return answer


def refused(connection: Connection, sql: str, words: str, errno: int = 1235) -> None:
    answer = ask(connection, sql)
    assert answer.error is not None, sql
    assert answer.error[0] == errno, answer.error
    assert words in answer.error[1], answer.error


def listed(vgate: VgateProcess, table: str) -> Table | None:
    """The table as the file has it."""
    path: Path = vgate.directory / "vschema.yaml"
    return load_vschema(path, environ={}).keyspaces["customer"].tables.get(table)


def bumps(vgate: VgateProcess, table: str) -> bool:
    found = listed(vgate, table)
    return found is None or found.auto_increment is None or found.auto_increment.bumps


def ids(connection: Connection, table: str) -> list[int]:
    return sorted(row[0] for row in ok(connection, f"select id from {table}").rows)


def sequences(connection: Connection) -> list[str]:
    return sorted(row[1] for row in ok(connection, "show sequences").rows)


def test_create_table_is_all_it_takes(free: VgateProcess, client: Connection) -> None:
    with closing(free.connect("customer")) as other:  # a session that is there already
        ok(client, "create table t (id bigint not null auto_increment primary key, n int) comment 'mine'")
        assert sequences(client) == ["AUTO_SEQ_t"]
        first = ok(other, "insert into t (n) values (1), (2), (3), (4), (5), (6)").insert_id
        assert ids(other, "t") == list(range(first, first + 6))
        assert ok(other, "select last_insert_id()").rows == ((first,),)
    by_shard = [free.query("select count(*) from t", f"customer:{shard}")[0][0] for shard in ("-80", "80-")]
    assert sum(by_shard) == 6
    assert 0 not in by_shard
    found = listed(free, "t")
    assert found is not None
    assert found.auto_increment is not None
    assert found.primary_vindex is not None
    assert (found.auto_increment.column, found.primary_vindex.columns) == ("id", ("id",))


@pytest.mark.parametrize(
    ("by", "first"),
    [("", 100_001), ("by group", 100_001), ("by simple", 1), ("by group unit count 3 index 1", 400_001)],
)
def test_every_kind(client: Connection, by: str, first: int) -> None:
    ok(client, f"create table t (id bigint auto_increment {by} primary key, n int)")
    assert ok(client, "insert into t (n) values (1)").insert_id == first
    assert ok(client, "insert into t (n) values (2), (3)").insert_id == first + 1
    text = ok(client, "show create table t").rows[0][1]
    assert "AUTO_INCREMENT" in text
    if "simple" in by or "unit" in by:
        assert f"AUTO_INCREMENT {by.upper()}" in text
    ok(client, "drop table t")
    assert sequences(client) == []
    ok(client, re.sub(r"(?m)^\) .*$", ")", text))
    assert ok(client, "insert into t (n) values (1)").insert_id == first


def test_narrow_columns_count_without_gaps_unless_told_otherwise(client: Connection) -> None:
    """A block of GROUP would be above all that they hold."""
    for type_ in ("tinyint", "smallint unsigned", "mediumint"):
        ok(client, f"create table t (id {type_} auto_increment primary key, n int)")
        assert ok(client, "insert into t (n) values (1), (2)").insert_id == 1
        text = ok(client, "show create table t").rows[0][1]
        assert "AUTO_INCREMENT BY" not in text
        ok(client, "drop table t")
        ok(client, text)
        assert ok(client, "insert into t (n) values (1)").insert_id == 3, "as a dump would go on"
        ok(client, "drop table t")
    refused(client, "create table t (id smallint auto_increment by group primary key)", "BY SIMPLE")
    ok(client, "create table t (id mediumint auto_increment by group primary key)")
    assert "AUTO_INCREMENT BY GROUP" in ok(client, "show create table t").rows[0][1]


def test_time_takes_bigint(client: Connection) -> None:
    refused(client, "create table t (id int auto_increment by time primary key)", "BIGINT")
    ok(client, "create table t (n bigint primary key, id bigint unsigned auto_increment by time, key (id))")
    refused(client, "alter table t modify id int unsigned not null auto_increment", "BIGINT")
    ok(client, "create table u (id int primary key)")
    refused(client, "alter table u modify id int not null auto_increment by time", "BIGINT")
    assert sequences(client) == ["AUTO_SEQ_t"]


def test_what_is_shown_has_the_next_value_of_simple_and_the_start_of_group(client: Connection) -> None:
    """One server shows the next value, too."""
    ok(client, "create table s (id bigint auto_increment by simple primary key, n int) auto_increment = 50")
    assert " AUTO_INCREMENT=50 " in ok(client, "show create table s").rows[0][1]
    ok(client, "insert into s (n) values (1), (2)")
    assert " AUTO_INCREMENT=52 " in ok(client, "show create table s").rows[0][1]
    ok(client, "truncate table s")
    assert "AUTO_INCREMENT=" not in ok(client, "show create table s").rows[0][1]
    ok(client, "create table g (id bigint auto_increment primary key, n int comment 'ENGINE=x') auto_increment=500000")
    first = ok(client, "insert into g (n) values (1)").insert_id
    text = ok(client, "show create table g").rows[0][1]
    assert " AUTO_INCREMENT=500000 " in text
    ok(client, "drop table g")
    ok(client, text)
    assert ok(client, "insert into g (n) values (1)").insert_id == first


def test_alter_table_does_not_change_the_kind(client: Connection) -> None:
    ok(client, "create table t (id bigint auto_increment primary key)")
    refused(client, "alter table t modify id bigint auto_increment by simple", "ALTER SEQUENCE")
    refused(client, "alter table t modify id bigint auto_increment by group unit count 3 index 1", "ALTER SEQUENCE")
    ok(client, "alter table t modify id bigint not null auto_increment by group")
    ok(client, "alter sequence AUTO_SEQ_t change to simple start with 7")
    ok(client, "alter table t modify id bigint not null auto_increment by simple")
    ok(client, "alter table t modify id bigint not null auto_increment")
    assert ok(client, "insert into t values ()").insert_id == 7


@pytest.mark.parametrize("by", ["by simple", "by group unit count 3 index 1", "by time"])
def test_a_copy_counts_as_its_original_does(client: Connection, by: str) -> None:
    ok(client, f"create table t (id bigint auto_increment {by} primary key)")
    first = ok(client, "insert into t values ()").insert_id
    ok(client, "create table u like t")
    assert f"AUTO_INCREMENT {by.upper()}" in ok(client, "show create table u").rows[0][1]
    assert ok(client, "insert into u values ()").insert_id >= first


def test_time_ids_rise(client: Connection) -> None:
    ok(client, "create table t (id bigint auto_increment by time primary key, n int)")
    first = ok(client, "insert into t (n) values (1)").insert_id
    assert first > 1 << 60
    assert ok(client, "insert into t (n) values (2)").insert_id > first


def test_a_start_of_ones_own(client: Connection) -> None:
    ok(client, "create table t (id bigint auto_increment by simple primary key, n int) auto_increment=500")
    assert ok(client, "insert into t (n) values (1)").insert_id == 500
    ok(client, "alter table t auto_increment = 2000")
    assert ok(client, "insert into t (n) values (1)").insert_id == 2000
    ok(client, "alter table t auto_increment = 7, comment 'not back'")
    assert ok(client, "insert into t (n) values (1)").insert_id == 2001
    ok(client, "truncate table t")
    assert ok(client, "insert into t (n) values (1)").insert_id == 1


@pytest.mark.parametrize("by", ["", "by simple"])
def test_ids_of_ones_own_move_the_sequence_at_once(free: VgateProcess, client: Connection, by: str) -> None:
    ok(client, f"create table t (id bigint auto_increment {by} primary key, n int)")
    ok(client, "insert into t (n) values (1)")
    for given in (700_000, 700_005, 3_000_000, 2_999_999):
        ok(client, f"insert into t (id, n) values ({given}, 1)")
        with closing(free.connect("customer")) as other:
            highest = max(ids(client, "t"))
            assert ok(other, "insert into t (n) values (1)").insert_id > highest
    ok(client, "insert into t (id, n) values (null, 1), (9000000, 2), (null, 3)")
    assert len(set(ids(client, "t"))) == 1 + 8 + 3
    assert ok(client, "insert into t (n) values (1)").insert_id > 9_000_000


def test_rename_drop_and_truncate_carry_it_along(free: VgateProcess, client: Connection) -> None:
    ok(client, "create table a (id bigint auto_increment by simple primary key, n int)")
    ok(client, "create table b like a")
    ok(client, "insert into a (n) values (1), (2), (3)")
    assert sequences(client) == ["AUTO_SEQ_a", "AUTO_SEQ_b"]
    assert ok(client, "select * from information_schema.tables where table_type = 'SEQUENCE'").rows == ()
    ok(client, "rename table a to tmp, b to a, tmp to b")
    assert ok(client, "insert into b (n) values (4)").insert_id == 4
    assert ids(client, "b") == [1, 2, 3, 4]
    assert ids(client, "a") == []
    ok(client, "alter table b rename to c")
    assert ok(client, "insert into c (n) values (5)").insert_id == 5
    assert listed(free, "b") is None
    refused(client, "select * from b", "b", 1146)
    refused(client, "drop table a, nothere, c", "nothere", 1051)
    kept = sequences(client)  # MariaDB drops what there is, MySQL nothing
    assert len(kept) in (0, 2)
    assert {f"AUTO_SEQ_{row[0]}" for row in ok(client, "show tables").rows} == set(kept)
    for name in kept:
        ok(client, f"drop table {name.removeprefix('AUTO_SEQ_')}")
    assert sequences(client) == []
    assert listed(free, "c") is None
    assert ask(client, "drop table if exists c").error is None


def test_alter_table_adds_and_removes_it(free: VgateProcess, client: Connection) -> None:
    ok(client, "create table t (id bigint primary key, n int)")
    ok(client, "insert into t values (5, 1), (77, 2)")
    assert sequences(client) == []
    ok(client, "alter table t modify id bigint not null auto_increment")
    given = ok(client, "insert into t (n) values (3)").insert_id
    assert given > 77
    ok(client, "alter table t modify id bigint not null")
    assert sequences(client) == []
    assert ask(client, "insert into t (n) values (4)").error is not None
    found = listed(free, "t")
    assert found is not None
    assert found.auto_increment is None


ADDED = [
    "add id bigint auto_increment unique",
    "add column id int unsigned not null auto_increment comment 'AUTO_INCREMENT' primary key first",
    "add (z int default 5, id bigint auto_increment by simple, key (id))",
    "add id bigint auto_increment by group unit count 3 index 1 unique after n, add index i (n), auto_increment = 50",
    "add `id` bigint auto_increment by time unique key",
]


@pytest.mark.parametrize("part", ADDED)
def test_alter_table_adds_a_column_that_counts(free: VgateProcess, client: Connection, part: str) -> None:
    """The rows that are there get ids, each its own; the answer and the table are one server's."""
    ok(client, "alter vschema on customer.f add vindex hash(cid) using hash")
    ok(client, "create table f (cid bigint not null, n int)")
    ok(client, "insert into f values " + ", ".join(f"({n % 7}, {n})" for n in range(40)))
    ok(client, f"alter table f {part}")
    given = [row[0] for row in ok(client, "select id from f order by n").rows]
    assert len(set(given)) == 40
    assert min(given) >= (50 if "= 50" in part else 1)
    assert max(given) < (50 if "= 50" in part else 1) + 2 * 40
    following = [ok(client, f"insert into f (cid, n) values ({n}, 100)").insert_id for n in range(4)]
    assert min(following) > max(given)
    assert len(set(following)) == 4
    assert ids(client, "f") == sorted([*given, *following])
    assert sequences(client) == ["AUTO_SEQ_f"]
    shown = ok(client, "show create table f").rows[0][1]
    (line,) = [one for one in shown.splitlines() if "`id`" in one and "KEY" not in one]
    kind = re.search(r"by .*?(?= unique|,|$| after)", part)
    assert ("AUTO_INCREMENT" + (" " + kind[0].upper() if kind else "")) in line
    assert ask(client, "alter table f add other bigint auto_increment unique").error is not None
    assert ask(client, f"alter table f {part}").error is not None
    ok(client, "drop table f")
    assert sequences(client) == []


def test_a_column_that_cannot_be_added_is_nowhere(free: VgateProcess, client: Connection) -> None:
    ok(client, "alter vschema on customer.f add vindex hash(cid) using hash")
    ok(client, "create table f (cid bigint not null, n int)")
    ok(client, "insert into f values (1, 1), (2, 2), (3, 3), (4, 4)")
    before = ok(client, "show create table f").rows
    one = free.connect("customer:-80")
    with closing(one):
        ok(one, "alter table f add id int")  # so one shard will refuse it
    refused(client, "alter table f add id bigint auto_increment unique", "Duplicate column name 'id'", 1060)
    refused(client, "alter table f add id bigint auto_increment unique, add z int", "80-", 1105)
    with closing(free.connect("customer:-80")) as one, closing(free.connect("customer:80-")) as other:
        ok(one, "alter table f drop column id")
        ok(other, "alter table f drop column id, drop column z")
    assert ok(client, "show create table f").rows == before
    assert sequences(client) == []
    for statement, what, code in (
        ("alter table f add id serial", "SERIAL", 1235),
        ("alter table f add id varchar(9) auto_increment unique", "specifier", 1063),
        ("alter table f add id bigint auto_increment unique, rename to g", "RENAME", 1235),
        ("alter table f add id bigint auto_increment", "key", 1075),
        ("alter table f add id tinyint auto_increment by group unique", "TINYINT".lower(), 1235),
    ):
        refused(client, statement, what, code)
        assert ok(client, "show create table f").rows == before
        assert sequences(client) == []
    ok(client, "alter table f add id bigint auto_increment unique")
    assert len(set(ids(client, "f"))) == 4


def test_others_wait_while_a_column_is_added(free: VgateProcess, client: Connection) -> None:
    """As for one server's table lock; they see all of it or nothing."""
    ok(client, "alter vschema on customer.f add vindex hash(cid) using hash")
    ok(client, "create table f (cid bigint not null, n int)")
    ok(client, "insert into f values (1, 1), (4, 4)")
    with closing(free.connect("customer")) as other:
        ok(other, "begin")
        ok(other, "insert into f values (1, 2)")
        adding = Later(client, "alter table f add id bigint auto_increment primary key")
        ok(other, "select * from f")
        ok(other, "commit")
        assert adding.result().error is None
        ok(other, "insert into f (cid, n) values (2, 5)")
        assert len(set(ids(other, "f"))) == 4


def test_a_transaction_that_goes_on_to_another_shard_is_let_through(free: VgateProcess, client: Connection) -> None:
    """Who has the table on one shard and wants it on the other does not wait for the ALTER that waits for him."""
    ok(client, "alter vschema on customer.f add vindex hash(cid) using hash")
    ok(client, "create table f (cid bigint not null, n int)")
    ok(client, "insert into f values (1, 1), (4, 4)")
    for first, then in ((1, 4), (4, 1)):
        with closing(free.connect("customer")) as other:
            ok(other, "begin")
            ok(other, f"update f set n = 9 where cid = {first}")
            adding = Later(client, "alter table f add id bigint auto_increment primary key")
            ok(other, f"update f set n = 9 where cid = {then}")
            ok(other, "commit")
            assert adding.result().error is None
        assert len(set(ids(client, "f"))) == 2
        ok(client, "alter table f drop column id")


def test_what_one_server_refuses_of_a_column_that_counts(free: VgateProcess, client: Connection) -> None:
    for statement, code in (
        ("create table t (cid bigint primary key, id bigint auto_increment)", 1075),
        ("create table t (id bigint auto_increment primary key, b bigint auto_increment unique)", 1075),
        ("create table t (id bigint default 5 auto_increment primary key)", 1067),
    ):
        refused(client, statement, "", code)
        assert sequences(client) == []
    ok(client, "create table t (cid bigint primary key, id bigint auto_increment, key k using btree (id))")
    ok(client, "insert into t (cid) values (1), (2)")
    refused(client, "alter table t add b bigint auto_increment unique", "", 1075)


def test_what_the_shards_refuse_leaves_nothing_behind(free: VgateProcess, client: Connection) -> None:
    for statement in ("create table t (id bigint auto_increment primary key, n nosuchtype)",
                      "create table t (id bigint auto_increment primary key, id int)"):  # fmt: skip
        assert ask(client, statement).error is not None
        assert sequences(client) == []
        assert listed(free, "t") is None
    ok(client, "create table t (id bigint auto_increment primary key)")
    refused(client, "create table t (id bigint auto_increment primary key)", "already exists", 1050)
    assert ok(client, "create table if not exists t (id bigint auto_increment primary key)").error is None
    assert sequences(client) == ["AUTO_SEQ_t"]
    assert ok(client, "insert into t values ()").insert_id
    refused(client, "drop sequence AUTO_SEQ_t", "t")


def test_keys_that_shards_cannot_guard(client: Connection) -> None:
    ok(client, "create table parent (id bigint auto_increment primary key, name varchar(20) unique)")
    assert "name" in ok(client, "show warnings").rows[0][2]
    ok(client, "create table child (id bigint auto_increment primary key, parent_id bigint not null,"
               " constraint fk foreign key (parent_id) references parent (id))")  # fmt: skip
    assert "foreign_keys: drop" in ok(client, "show warnings").rows[0][2]
    text = ok(client, "show create table child").rows[0][1]
    assert "FOREIGN KEY" not in text
    assert "KEY `fk` (`parent_id`)" in text
    ok(client, "insert into child (parent_id) values (12345)")
    ok(client, "alter table child add constraint g foreign key (parent_id) references parent (id), add column c int")
    ok(client, "insert into child (parent_id, c) values (1, 2)")


def test_without_options_they_are_refused(fresh: Cluster, start_vgate: StartVgate) -> None:
    with closing(start_vgate(STRICT).connect("customer")) as client:
        refused(client, "create table fresh (id bigint primary key)", "ALTER VSCHEMA ON customer.fresh ADD VINDEX")
        ok(client, "alter vschema on customer.fresh add vindex hash(id) using hash")
        ok(client, "create table fresh (id bigint auto_increment primary key)")
        assert ok(client, "insert into fresh values ()").insert_id
        ok(client, "create table person (id bigint auto_increment primary key, email varchar(50))")
        refused(client, "create unique index e on person (email)", "secondary_unique: local")
        refused(client, "alter table person add unique (email)", "secondary_unique: local")
        ok(client, "create table orders (id bigint auto_increment, person_id bigint, primary key (person_id, id),"
                   " constraint f foreign key (person_id) references person (id))")  # fmt: skip
        refused(client, "alter table orders add foreign key (id) references person (id)", "foreign_keys: drop")
        person = ok(client, "insert into person (email) values ('a')").insert_id
        ok(client, f"insert into orders (person_id) values ({person})")
        answer = ask(client, f"insert into orders (person_id) values ({person + 1})")
        assert answer.error is not None
        assert answer.error[0] == 1452


@pytest.mark.parametrize("by", ["", "by simple"])
def test_the_greatest_id_of_all_leaves_none(client: Connection, by: str) -> None:
    ok(client, f"create table t (id bigint unsigned auto_increment {by} primary key, n int)")
    ok(client, "insert into t (id, n) values (18446744073709551614, 1)")
    refused(client, "insert into t (n) values (2)", "has run out", 4084)
    assert ids(client, "t") == [18446744073709551614]


def test_what_cannot_count_is_refused_as_by_a_server(client: Connection, fresh: Cluster) -> None:
    """The shards are sent a column that does not count, so they do not complain."""
    with closing(fresh.plain.connect("customer")) as plain:
        for column in ("varchar(20)", "decimal(20, 0)", "date", "varbinary(8)", "enum('1', '2')"):
            sql = f"create table t (n int primary key, id {column} auto_increment, key (id))"
            answer = ask(client, sql).error
            assert answer == ask(plain, sql).error == (1063, "Incorrect column specifier for column 'id'"), column
        ok(client, "create table t (n int primary key, id varchar(20), key (id))")
        refused(client, "alter table t modify id varchar(20) auto_increment", "Incorrect column specifier", 1063)
    assert sequences(client) == []


def test_given_ids_may_be_left_unheard(free: VgateProcess, client: Connection) -> None:
    """``bump: false`` is the table's, whatever it is called."""
    ok(client, "create table t (n bigint primary key, id bigint auto_increment by simple, key (id))")
    path = free.directory / "vschema.yaml"
    path.write_text(path.read_text().replace("AUTO_SEQ_t}", "AUTO_SEQ_t, bump: false}"))
    free.process.send_signal(signal.SIGHUP)
    until(lambda: "taken up as version" in free.errors, "the edit was not taken up")
    ok(client, "insert into t values (1, 500)")
    assert ok(client, "insert into t (n) values (2)").insert_id == 1
    ok(client, "rename table t to u")
    ok(client, "insert into u values (3, 1000)")
    assert ok(client, "insert into u (n) values (4)").insert_id == 2
    ok(client, "alter table u change id other bigint not null auto_increment")
    ok(client, "insert into u values (5, 2000)")
    assert ok(client, "insert into u (n) values (6)").insert_id == 3
    assert not bumps(free, "u")


@pytest.mark.parametrize("existence", ["", "if not exists "])
def test_one_of_many_who_make_a_table_makes_it(free: VgateProcess, client: Connection, existence: str) -> None:
    others = [free.connect("customer") for _ in range(5)]
    try:
        made = [Later(one, f"create table {existence}t (id bigint auto_increment primary key)") for one in others]
        answers = [one.result() for one in made]
    finally:
        for one in others:
            one.close()
    errors = [answer.error[0] for answer in answers if answer.error is not None]
    assert errors == ([] if existence else [1050] * 4), answers
    assert sequences(client) == ["AUTO_SEQ_t"]
    assert ok(client, "insert into t values ()").insert_id


LOOKS = """
show columns from t
show full columns from t
show fields in t from customer
show columns from customer.t like 'i%'
describe t
desc customer.t id
select column_name, extra from information_schema.columns where table_schema = 'customer' and table_name = 't'
select column_name, extra from information_schema.columns where table_schema = database()
select table_name, column_name, extra from information_schema.columns where extra = 'auto_increment' and \
table_schema in ('customer', 'product')
select c.extra from information_schema.columns c join information_schema.tables t using (table_schema, table_name) \
where c.column_name = 'id' and c.table_schema = 'customer'
show columns from plain
"""


def test_columns_are_shown_as_the_client_has_made_them(free: VgateProcess, client: Connection, fresh: Cluster) -> None:
    made = ("create table t (id bigint unsigned auto_increment primary key, v varchar(9) default 'x', u int as (1))",
            "create table plain (id int primary key, n int)")  # fmt: skip
    with closing(fresh.plain.connect("customer")) as one:
        for sql in made:
            ok(client, sql)
            ok(one, sql)
        for keyspace in ("customer", "product"):
            for sql in LOOKS.strip().replace("\\\n", "").splitlines():
                if keyspace == "customer" or "customer" in sql:
                    mine, theirs = ok(client, sql).sorted(), ok(one, sql).sorted()
                    assert mine.rows == theirs.rows, sql
                    assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql
            for connection in (client, one):
                ok(connection, "use product")


def test_columns_can_be_shown_with_autocommit_off(free: VgateProcess, client: Connection, fresh: Cluster) -> None:
    """Neither a transaction that nobody knows of, nor a lock on the table is left."""
    ok(client, "create table t (id bigint auto_increment primary key, v int)")
    with closing(free.connect("customer")) as other:
        ok(other, "set lock_wait_timeout = 1")
        ok(client, "set autocommit = 0")
        for sql in ("describe t", "show create table t", "describe t nothing"):
            assert len(ok(client, sql).rows) == (0 if "nothing" in sql else 1 if "create" in sql else 2)
            ok(client, "commit")
            ok(other, "alter table t comment 'x'")


def test_two_vgates_make_the_same_tables(fresh: Cluster, tmp_path: Path) -> None:
    """What one has written into the file the other has not read yet, and need not have."""
    path = tmp_path / "vschema.yaml"
    path.write_text(with_addresses(FREE, fresh))
    (tmp_path / "vgate.yaml").write_text(USERS)
    made = "create table if not exists t{} (id bigint auto_increment by simple primary key)"
    with ExitStack() as stack:
        clients: list[Connection] = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            config = ["--config", str(tmp_path / "vgate.yaml"), "--listen", "127.0.0.1:0"]
            vgate = run_vgate(tmp_path / str(number), ["serve", "--vschema", str(path), *config])
            stack.callback(vgate.kill)
            clients.append(stack.enter_context(closing(vgate.connect("customer"))))
        first, second = clients
        for number in range(4):
            ok(first, made.format(number))
            assert ok(second, made.format(number)).warnings == 1
            assert ok(second, f"insert into t{number} values ()").insert_id == 1
            assert ok(first, f"insert into t{number} values ()").insert_id == 2
        ok(first, "create table u (id bigint auto_increment by simple primary key)")
        refused(second, "create table u (id bigint auto_increment by simple primary key)", "already exists", 1050)
        assert ok(first, "insert into u values ()").insert_id == 1


def test_a_table_that_is_there_is_not_taken_over(free: VgateProcess, client: Connection, fresh: Cluster) -> None:
    """Who knows by what its rows lie?"""
    for shard in ("-80", "80-"):
        ok(client, f"use `customer:{shard}`")
        ok(client, "create table t (id bigint primary key)")
    ok(client, "use customer")
    refused(client, "create table t (id bigint auto_increment primary key)", "already exists", 1050)
    assert ok(client, "create table if not exists t (id bigint auto_increment primary key)").warnings == 1
    assert listed(free, "t") is None
    assert sequences(client) == []
