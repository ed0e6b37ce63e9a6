"""SQL's PREPARE, EXECUTE and DEALLOCATE on sharded keyspaces, as on one server.

This module does not know prepared statements of the protocol.
"""

from __future__ import annotations

from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER
from tests.integration.asking import run
from vgate.sql.versioned import Flavour

SCRIPTS = """
prepare s from 'select * from customer where customer_id = 4'; execute s; execute S; deallocate prepare s; execute s
prepare s from 'select uname, n from customer where customer_id = ?'; set @a = 4, @b = '2'; execute s using @a; \
execute s using @b; set @a = 1; execute s using @a; execute s using @nosuch
prepare s from 'insert into customer (customer_id, uname, n) values (?, ?, ?)'; set @i = 21, \
@u = 'it''s "x"', @n = null; execute s using @i, @u, @n; set @i = 22; execute s using @i, @u, @i; \
select * from customer where customer_id > 20
prepare s from 'update customer set uname = ?, n = ? where customer_id in (?, ?)'; set @a = 1, @b = 4, @c = 'w'; \
execute s using @c, @a, @a, @b; select row_count(); select * from customer
prepare s from 'select customer_id from customer where uname = ? or uname like ?'; set @a = 'ONE', @b = 't%'; \
execute s using @a, @b
prepare s from 'select 1'; prepare s from 'select 2'; execute s; drop prepare s; drop prepare s
prepare s from 'selec'; execute s; deallocate prepare s
prepare s from 'select 1'; prepare s from 'selec'; execute s
prepare s from ''; prepare s from 5; prepare s from null; prepare s from @nosuch; prepare s from
prepare s from 'select * from nosuch'; execute s
prepare s from 'select nosuch from customer'; execute s
prepare s from 'select ?'; execute s; set @a = 1; execute s using @a, @a
prepare s from 'select 1; select 2'; execute s
prepare s from 'prepare x from 1'; prepare s from 'execute x'
set @t = 'select n from customer where customer_id = 2'; prepare s from @t; execute s; set @t = 'select 1'; execute s
prepare `a b` from 'select n from customer where customer_id = 2'; execute `A B`; deallocate prepare `a b`
begin; prepare s from 'update customer set n = n + 1 where customer_id = 1'; execute s; execute s; rollback; \
execute s; select n from customer where customer_id = 1
prepare s from 'set @x = 5'; execute s; select @x; \
prepare s from 'select n into @x from customer where customer_id = 4'; execute s; select @x
prepare s from 'delete from customer where customer_id = ?'; set @a = 4; execute s using @a; select * from customer
prepare s from 'select n from customer where customer_id = 1'; use product; execute s; deallocate prepare s; execute s
use product; prepare s from 'select name from product where id = ?'; set @a = 1; execute s using @a; \
prepare t from 'select @a, ?'; execute t using @a; deallocate prepare t
prepare s from 'select customer_id from customer order by customer_id limit ?'; set @a = 1; use product; use customer; \
prepare s from 'select customer_id from customer where customer_id = 1 limit ?'; execute s using @a
execute nosuch; deallocate prepare nosuch
"""


@pytest.mark.parametrize("script", SCRIPTS.strip().replace("\\\n", "").splitlines())
def test_scripts(stocked: Oracle, script: str) -> None:
    run(stocked, script, ignore=["insert_id", "info", "warnings"])


@pytest.mark.parametrize("value", ["5", "1.5", "-2e0", "'x'", "null", "18446744073709551614", "x'4142'",
                                   "_latin1 x'e9'", "'a' collate utf8mb4_bin", "cast(7 as decimal(5,0))"])  # fmt: skip
def test_parameters_keep_their_values_and_names(stocked: Oracle, value: str) -> None:
    run(stocked, f"set @a = {value}")
    run(stocked, "prepare s from 'select ?, ? + 1, concat(?, ?), n as c from customer where customer_id = 1'")
    stocked.both("execute s using @a, @a, @a, @a", ignore=["columns", "warnings"])
    names = [[column[0] for column in stocked.only_vgate("execute s using @a, @a, @a, @a").columns],
             [column[0] for column in stocked.only_plain("execute s using @a, @a, @a, @a").columns]]  # fmt: skip
    assert names[0] == names[1] == ["?", "? + 1", "concat(?, ?)", "c"]


def test_execute_immediate(stocked: Oracle) -> None:
    """MariaDB's; to MySQL it is an error."""
    run(stocked, "execute immediate 'select n from customer where customer_id = 2'; set @a = 4")
    run(stocked, "execute immediate 'select n from customer where customer_id = ?' using @a; execute immediate 'selec'")


COMPUTED = """
prepare s from concat('select', ' 1'); execute s
prepare s from 'sel' 'ect 3'; execute s
prepare s from (select 'select 4'); execute s
prepare s from if(1, 'select n from customer where customer_id = 4', 'x'); execute s
set @t = 'customer', @a = 2; prepare s from concat('select n from ', @t, ' where customer_id = ?'); execute s using @a
execute immediate concat('select', ' 6'); execute immediate concat('sel', 'ect ?') using @undefined
execute immediate convert('select 1' using utf8mb4); prepare s from upper('select 1'); execute s
prepare s from x'53454c4543542031'; execute s; prepare s from _utf8mb4'select 9'; execute s
prepare s from concat('insert into customer (customer_id, n) values ', '(50, 50)'); execute s; select n from customer
prepare s from concat('select ', 1/0); prepare s from version(); prepare s from concat('select', nosuch)
prepare s from concat(; prepare s from concat('select', ' 1') x; prepare s from 'select 1' x; prepare s from 'a', 'b'
prepare s from concat(@@version, 'x'); prepare s from 1 + 1; prepare s from null; prepare s from default
"""


@pytest.mark.parametrize("script", COMPUTED.strip().splitlines())
def test_texts_that_are_computed(stocked: Oracle, script: str) -> None:
    """MariaDB takes an expression, and MySQL has a syntax error for it."""
    run(stocked, script, ignore=["insert_id", "info", "warnings"])


def test_a_text_of_the_session_is_not_computed_by_a_server(stocked: Oracle) -> None:
    if stocked.cluster.flavour is Flavour.MARIADB:
        for text in ("database()", "concat('select ', connection_id())", "concat('select ', last_insert_id())"):
            stocked.refused(f"prepare s from {text}", "PREPARE from an expression")


LIMITS = (
    "2", "'2'", "'x'", "null", "1.5", "'1.5'", "1e0", "-1", "' 2'", "'2x'", "true", "18446744073709551615", "0x2",
    "'-1'", "1.0", "x'32'", "cast(2 as char)", "cast('1.9' as double)", "now()", "18446744073709551616", "0.5", "2.5",
    "1.4999", "-0.4", "-0.5", "'-0.4'", "2.5e0", "-0.3e0", "1e30", "'99999999999999999999999'", "''", "'+2'", "-1.5",
)  # fmt: skip


def test_limits_that_are_no_whole_numbers(stocked: Oracle) -> None:
    run(stocked, "set @one = 1")
    for number, text in enumerate((
        "select customer_id from customer order by customer_id limit ?",
        "select customer_id from customer order by customer_id limit ?, 2",
        "select customer_id from customer order by customer_id limit 1, ?",
        "select customer_id from customer order by customer_id limit 2 offset ?",
        "select customer_id from customer where customer_id in (1, 2) and n > ? limit ?",
    )):  # fmt: skip
        run(stocked, f"prepare s{number} from '{text}'")
        for value in LIMITS:
            run(stocked, f"set @a = {value}")
            stocked.both(f"execute s{number} using {'@one, ' * (text.count('?') - 1)}@a", ignore=["warnings"])


def test_functions_of_the_session_on_an_unsharded_keyspace(stocked: Oracle) -> None:
    """What a server would answer for its own connection is the client's here, too."""
    vgate = stocked.vgate
    mine = ask(vgate, "select connection_id()").rows
    run(stocked, "use product; prepare s from 'select database(), name from product where id = ?'; set @a = 1")
    run(stocked, "execute s using @a")
    assert ask(vgate, "prepare s from 'select connection_id()'").error is None
    assert ask(vgate, "execute s").rows == mine
    assert ask(vgate, "select connection_id()").rows == mine
    run(stocked, "set @t = 'select row_count()'; prepare r from @t; update product set name = 'x'; execute r")
    run(stocked, "execute r; deallocate prepare s; execute s; prepare r from 'select 1'; execute r")
    run(stocked, "prepare r from 'select database() from product'; execute r; deallocate prepare r; execute r")
    run(stocked, "deallocate prepare r; prepare r from 'select 2'; execute r; deallocate prepare r; execute r")
    run(stocked, "execute immediate 'select database(), 1 from product'")


def test_a_reset_forgets_them(stocked: Oracle) -> None:
    run(stocked, "prepare s from 'select 1'; execute s")
    for connection in (stocked.vgate, stocked.plain):
        connection._execute_command(0x1F, b"")
        connection._read_ok_packet()
    run(stocked, "execute s")


def test_what_servers_do_not_know(stocked: Oracle) -> None:
    vgate = stocked.vgate
    for text in ("select shard from hash where id = ?", "show vschema tables", "vexplain select 1"):
        assert ask(vgate, f"prepare s from '{text}'").error is None
        using = " using @a" if "?" in text else ""
        assert ask(vgate, "set @a = 4").error is None
        answer = ask(vgate, f"execute s{using}")
        assert answer.error is None
        assert answer.rows == ask(vgate, text.replace("?", "4")).rows


def test_what_is_refused(stocked: Oracle) -> None:
    run(stocked, "prepare s from 'select n from customer where customer_id = 1'; use product")
    run(stocked, "prepare p from 'select 1'; use customer; execute s")
    stocked.refused("execute p", "another keyspace")
    run(stocked, "prepare q from 'select \"n\" from customer where customer_id = 1'; set sql_mode = 'ANSI_QUOTES'")
    stocked.refused("execute q", "another sql_mode")
    stocked.both("execute s")
    run(stocked, "set sql_mode = default; prepare s from 'select n from customer order by ?'; set @a = 1")
    stocked.refused("execute s using @a", "ORDER BY")


@pytest.mark.parametrize("text", ["selec ?", "select * from customer where", "select ? ?", "select from customer x y z",
                                  "update customer set"])  # fmt: skip
def test_the_protocols_prepare_has_the_servers_words(stocked: Oracle, text: str) -> None:
    said: list[tuple[Any, ...]] = []
    process, plain = stocked.process, stocked.cluster.plain
    for where in (
        {"host": process.host, "port": process.port, "user": USER, "password": PASSWORD},
        {"unix_socket": plain.unix_socket, "user": "root"},
    ):
        with mysql.connector.connect(
            **where, database="customer", use_pure=True, collation="utf8mb4_general_ci"
        ) as connection:
            cursor: Any = connection.cursor(prepared=True)
            with pytest.raises(mysql.connector.Error) as caught:
                cursor.execute(text, (1,) * text.count("?"))
            said.append((caught.value.errno, caught.value.msg))
    assert said[0] == said[1]
