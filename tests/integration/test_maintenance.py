"""ANALYZE, CHECK, CHECKSUM, OPTIMIZE and REPAIR of sharded tables, as on one server.

Databases that are called otherwise than their keyspaces are in ``test_looks``.
"""

from __future__ import annotations

from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER
from tests.integration.asking import run, scripts

MAINTENANCE = """
checksum table customer; checksum table customer, nope; show warnings; checksum table customer extended
check table customer; check table customer, nope; check table customer quick; check table customer.customer, customer
analyze table customer; analyze no_write_to_binlog table customer; optimize table customer; repair table customer
analyze table nope; analyze table customer nonsense; check table; analyze table product.product; use product; \
analyze table customer.customer; checksum table customer.customer; select row_count()
begin; update customer set n = 9 where customer_id = 1; checksum table customer; analyze table customer; rollback; \
checksum table customer; set autocommit = 0; checksum table customer; select @@autocommit; commit; set autocommit = 1
prepare s from 'checksum table customer'; execute s; prepare s from 'check table customer'; execute s
insert into customer values (90, 'ü', null), (91, null, -5), (92, '', 0); checksum table customer
delete from customer; checksum table customer; check table customer
"""


@pytest.mark.parametrize("script", scripts(MAINTENANCE))
def test_maintenance_of_a_sharded_table(stocked: Oracle, script: str) -> None:
    """What the shards say is what one server says of all rows; checksums add up."""
    run(stocked, script)


def test_maintenance_in_the_binary_protocol(stocked: Oracle) -> None:
    process = stocked.process
    with mysql.connector.connect(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="customer", use_pure=True,
        collation="utf8mb4_general_ci",
    ) as connection:  # fmt: skip
        cursor: Any = connection.cursor(prepared=True)
        for sql in ("checksum table customer", "analyze table customer"):
            cursor.execute(sql)
            assert tuple(cursor.fetchall()) == ask(stocked.plain, sql).rows
