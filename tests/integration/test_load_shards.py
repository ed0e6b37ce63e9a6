"""LOAD DATA LOCAL INFILE into a sharded table, compared with one server: every format, ids, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.packets import command, errno
from tests.integration.test_load import executed, loading

__all__ = ["loading"]

UNSUPPORTED = 1235

FORMATS = {
    "default": ("", b"10\tten\t1\n11\tel\\\tev\\nen\t\\N\n12\t\\\\\t3\n"),
    "csv": ("fields terminated by ',' optionally enclosed by '\"' lines terminated by '\\n' ignore 1 lines",
            b'id,name,n\n10,"ten, ""quoted""",1\n"11",NULL,2\n12,"two\nlines",3\n'
            b'13,"a\\"b",NULL\n14,x"y,5\n15,"q"r,6\n'),
    "windows": ("fields terminated by ',' enclosed by '\"' lines terminated by '\\r\\n'",
                b'"10","ten","1"\r\n"11","a\rb","2"\r\n12,"no end","3"'),
    "long ends": ("fields terminated by '||' lines terminated by '##\\n' ignore 2 rows",
                  b"x##\ny##\n10||a|b||1##\n11||c#d||2##\n12||e##f||3##\n"),
    "no escapes": ("fields terminated by ';' escaped by ''", b"10;a\\b;1\n11;\\N;2\n"),
    "other escape": ("fields terminated by ';' escaped by '!'", b"10;a!;b;1\n11;!N;2\n12;!!;3\n"),
    "too many": ("fields terminated by ','", b'10,ten,1,more,"x\n11,eleven,2\n12,t,3,\\\nrest\n13,z,4\n'),
    "too few": ("fields terminated by ','", b"10,ten\n11\n12,t,\n13,"),
    "one line": ("fields terminated by ','", b"10,ten,1"),
    "nothing": ("", b""),
    "spaces": ("fields terminated by ','", b" 10,ten,1\n11 ,eleven,2\n+12,twelve,3\n013,x,4\n"),
    "same rows": ("fields terminated by ','", b"10,ten,1\n1,again,2\n10,twice,3\n6,six,4\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("how", ["", "replace"])
def test_formats(loading: Oracle, tmp_path: Path, name: str, how: str) -> None:
    clauses, content = FORMATS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    loading.both("set sql_mode = ''", ignore=["warnings"])
    sql = f"load data local infile '{path}' {how} into table customer character set utf8mb4 {clauses}"
    answer = ask(loading.vgate, sql + " (customer_id, uname, n)")
    if answer.error is not None and name == "spaces":
        assert "row 1 of the file" in answer.error[1]
        assert len(ask(loading.vgate, "select * from customer").rows) == 4
        return
    loading.only_plain("set @before = 1")
    theirs = ask(loading.plain, sql + " (customer_id, uname, n)")
    assert (answer.error, answer.affected, answer.warnings, answer.info) == (
        theirs.error, theirs.affected, theirs.warnings, theirs.info
    )  # fmt: skip
    assert ask(loading.vgate, "show warnings").sorted().rows == ask(loading.plain, "show warnings").sorted().rows
    loading.both("select * from customer")


def test_any_file_is_divided_as_the_server_reads_it(loading: Oracle, tmp_path: Path) -> None:
    """Random lines out of the characters that matter; a row too many or too few would show."""
    chance = random.Random(7)
    path = tmp_path / "file"
    loading.both("set sql_mode = ''", ignore=["warnings"])
    compared = 0
    for number in range(80):
        alphabet = b'ab,"\\N' + b"\n" * (number % 8 == 0)
        noise = [
            b"%d," % (100 + line) + bytes(chance.choice(alphabet) for _ in range(chance.randrange(12)))
            for line in range(8)
        ]
        path.write_bytes(b"\n".join(noise))
        enclosed = chance.choice(["", "enclosed by '\"'", "optionally enclosed by '\"'"])
        sql = (
            f"load data local infile '{path}' replace into table customer character set utf8mb4"
            f" fields terminated by ',' {enclosed} (customer_id, uname, n)"
        )
        mine = ask(loading.vgate, sql)
        if mine.error is not None:  # a line that begins with no number is refused, whatever a server makes of it
            assert "row" in mine.error[1], (number, mine)
            continue
        theirs = ask(loading.plain, sql)
        assert (mine.affected, mine.info) == (theirs.affected, theirs.info), (number, path.read_bytes(), sql)
        loading.both("select * from customer")
        compared += 1
    assert compared > 40


def test_ids_come_from_the_sequence(loading: Oracle, tmp_path: Path) -> None:
    for statement in (
        "create table product.customer_seq (id int primary key, next_id bigint, cache bigint)"
        " comment 'vitess_sequence'",
        "insert into product.customer_seq values (0, 1000, 100)", "delete from customer",
    ):
        assert ask(loading.vgate, statement).error is None, statement
    path = tmp_path / "file"
    path.write_bytes(b"".join(b"name %d\t%d\n" % (number, number) for number in range(20_000)))
    answer = ask(loading.vgate, f"load data local infile '{path}' into table customer (uname, n)")
    assert answer.error is None
    assert answer.affected == 20_000
    assert "Records: 20000  Deleted: 0  Skipped: 0  Warnings: 0" in answer.info
    rows = ask(loading.vgate, "select customer_id, uname, n from customer").rows
    assert sorted(rows) == [(1000 + number, f"name {number}", number) for number in range(20_000)]
    assert ask(loading.vgate, "select last_insert_id()").rows == ((1000,),)
    shards = [loading.cluster[f"customer/{name}"].query("select count(*) from customer.customer")[0][0]
              for name in ("-80", "80-")]  # fmt: skip
    assert min(shards) > 9000


ID_FORMS = {
    "": b"\\N\ta\n0\tb\n5000\tc\n\\N\td\n7\te\n",
    "fields terminated by ',' optionally enclosed by '\"'": b'NULL,"a"\n"0",b\n"5000","c"\nNULL,d\n7,"e"\n',
    "fields terminated by '::' lines terminated by '!'": b"\\N::a!0::b!5000::c!\\N::d!7::e",
}


@pytest.mark.parametrize("form", ID_FORMS)
def test_ids_in_the_place_of_null_and_zero(loading: Oracle, tmp_path: Path, form: str) -> None:
    """Ids that rows bring come first, so that no other row of the piece gets one of them."""
    for statement in (
        "create table product.customer_seq (id int primary key, next_id bigint, cache bigint)"
        " comment 'vitess_sequence'",
        "insert into product.customer_seq values (0, 4999, 100)", "delete from customer",
    ):
        assert ask(loading.vgate, statement).error is None, statement
    path = tmp_path / "file"
    path.write_bytes(ID_FORMS[form])
    answer = ask(loading.vgate, f"load data local infile '{path}' into table customer {form} (customer_id, uname)")
    assert answer.error is None
    assert answer.affected == 5
    if not form:  # as the last of the columns
        path.write_bytes(b"a2\t\\N\nb2\t0\nc2\t5500\ne2\t8\n")
        sql = f"load data local infile '{path}' into table customer (uname, customer_id)"
        assert ask(loading.vgate, sql).affected == 4
    rows = {name: number for number, name in ask(loading.vgate, "select customer_id, uname from customer").rows}
    assert (rows["c"], rows["e"]) == (5000, 7)
    assert rows["a"] > 5000
    assert (rows["b"], rows["d"]) == (rows["a"] + 1, rows["a"] + 2)
    if not form:
        assert (rows["c2"], rows["e2"]) == (5500, 8)
        assert ask(loading.vgate, "select last_insert_id()").rows == ((rows["a2"],),)
    assert len(set(rows.values())) == len(rows)
    for name in rows:
        found = ask(loading.vgate, f"select uname from customer where customer_id = {rows[name]}")
        assert found.rows == ((name,),), "a row is on its shard"
    ask(loading.vgate, "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
    path.write_bytes(b"0\tz\n")
    answer = ask(loading.vgate, f"load data local infile '{path}' into table customer (customer_id, uname)")
    assert answer.error is not None
    assert "row 1" in answer.error[1]


def test_all_or_nothing(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    lines = b"".join(b"%d\tx\t%d\n" % (number, number) for number in range(100, 50_000))
    path.write_bytes(lines + b"id\tx\t1\n" + lines)
    sql = f"load data local infile '{path}' into table customer (customer_id, uname, n)"
    answer = ask(loading.vgate, sql)
    assert answer.error is not None
    assert "row 49901" in answer.error[1]
    assert ask(loading.vgate, "select customer_id from customer").sorted().rows == ((1,), (2,), (4,), (6,))
    path.write_bytes(lines)
    ask(loading.vgate, "begin")
    assert ask(loading.vgate, "update customer set n = 9").affected == 4
    assert ask(loading.vgate, sql).affected == 49_900
    assert ask(loading.vgate, "rollback").error is None
    assert len(ask(loading.vgate, "select * from customer where n < 8").rows) == 4
    assert len(ask(loading.vgate, "select * from customer").rows) == 4


@pytest.mark.parametrize(
    "tail",
    ["(uname, @n) set n = @n", "(@id, uname) set customer_id = @id", "(customer_id, uname) set customer_id = 5",
     "fields terminated by ''", "lines starting by 'x' (customer_id, uname)", "character set gbk (customer_id, uname)",
     "(customer_id, uname) set n = (select 1)", "(customer_id, customer_id, uname)"],
)  # fmt: skip
def test_what_is_refused_is_refused_before_the_file_is_asked_for(loading: Oracle, tail: str) -> None:
    sql = f"load data local infile 'x' into table customer {tail}"
    assert errno(command(loading.vgate, b"\x03" + sql.encode())) == UNSUPPORTED
    assert ask(loading.vgate, "select 1").rows == ((1,),)


def test_set_of_other_columns(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"10\tten\n11\televen\n")
    sql = f"load data local infile '{path}' into table customer (customer_id, uname) set n = length(uname) * 2"
    loading.both(sql)
    loading.both("select * from customer")


def test_a_server_that_refuses_files(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"10\tten\n11\televen\n")
    server = loading.cluster["customer/80-"]
    server.query("set global local_infile = 0")
    sql = f"load data local infile '{path}' into table customer (customer_id, uname)"
    answer = ask(loading.vgate, sql)
    server.query("set global local_infile = 1")
    assert answer.error is not None
    assert len(ask(loading.vgate, "select * from customer").rows) == 4
    loading.both(sql)
    loading.both("select * from customer")


HOW = "load data{} local infile 'PATH'{} into table {} (customer_id, uname, n)"


@pytest.mark.parametrize(
    "sql",
    [
        HOW.format(" from", "", "customer"),
        HOW.format("", " in primary key order", "customer"),
        HOW.format("", "", ".customer"),
        HOW.format("", "", "`customer` . `customer`"),
    ],
)
def test_forms_of_one_flavour(loading: Oracle, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"10\tten\t1\n11\televen\t2\n12\ttwelve\t3\n")
    loading.both(sql.replace("PATH", str(path)))
    loading.both("select * from customer")
    loading.both("show warnings")


def test_prepared(loading: Oracle, tmp_path: Path) -> None:
    """MariaDB prepares it, in all three ways; to MySQL it is an error."""
    path = tmp_path / "file"
    path.write_bytes(b"10\tten\t1\n11\televen\t2\n12\ttwelve\t3\n")
    sql = HOW.format("", "", "customer").replace("PATH", str(path)).replace("into", "replace into")
    quoted = sql.replace("'", "''")
    loading.both("begin")
    for statement in (f"execute immediate '{quoted}'", f"prepare s from '{quoted}'", "execute s", "execute s"):
        loading.both(statement)
        loading.both("select * from customer")
    mine, theirs = (executed(one, sql, b"20\tx\t1\n1\ty\t2\n") for one in (loading.vgate, loading.plain))
    assert mine == theirs
    loading.both("select * from customer")
    loading.both("rollback")
    loading.both("select * from customer")
