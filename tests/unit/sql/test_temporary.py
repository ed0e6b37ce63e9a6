"""Definitions of tables as those of temporary tables, and where a query's text names tables."""

from __future__ import annotations

import pytest

from vgate.sql.lexer import LexMode
from vgate.sql.mentions import mentions, where_of
from vgate.sql.temporary import NotTemporary, temporary
from vgate.sql.versioned import Flavour

CREATE = b"""CREATE TABLE `a(,` (
  `id` bigint NOT NULL COMMENT 'x), \\' y',
  `n` enum('a,b','it''s)') DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`n`),
  FULLTEXT KEY `f` (`n`),
  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `b` (`n`),
  CONSTRAINT `c` CHECK ((`id` > 0))
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='ENGINE=x'
/*!50100 PARTITION BY HASH (`id`) PARTITIONS 4 */"""


def test_what_a_temporary_table_cannot_have_is_left_out() -> None:
    columns = b"`id` bigint NOT NULL COMMENT 'x), \\' y', `n` enum('a,b','it''s)') DEFAULT NULL"
    options = b"ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    assert temporary(CREATE, b"`t`", Flavour.MYSQL) == (
        b"CREATE TEMPORARY TABLE `t` (" + columns + b", PRIMARY KEY (`id`), UNIQUE KEY `u` (`n`)) " + options
    )
    assert b"CHECK" in temporary(CREATE, b"`t`", Flavour.MARIADB)
    loose = temporary(CREATE, b"`t`", Flavour.MYSQL, loose=True)
    assert b"KEY `vgate_primary` (`id`), KEY `u` (`n`)" in loose
    assert b"UNIQUE" not in loose


@pytest.mark.parametrize("create", [
    b"CREATE ALGORITHM=UNDEFINED VIEW `v` AS select (1) AS `a`",
    b"CREATE TABLE `t` (\n `a` int\n) ENGINE=InnoDB WITH SYSTEM VERSIONING",
])
def test_what_cannot_be_temporary(create: bytes) -> None:
    with pytest.raises(NotTemporary):
        temporary(create, b"`t`", Flavour.MARIADB)


@pytest.mark.parametrize(("text", "names"), [
    ("select a from t", "t"),
    ("select extract(year from a), trim('x' from b) from t as u", "t+"),
    ("select * from a, b as x join (c, d y) on c.e = d.f, `g` where a.from_ = 1", "a b+ c d+ g"),
    ("select * from k.a where b in (select c from `d` union select e from f) order by g, h", "a d f"),
    ("with c as (select * from t) select * from c left join (select 1 from t z) d using (a), e", "t c t+ e"),
    ("select straight_join a, b from t straight_join u on t.a = u.a for update", "t u"),
    ("(select a, b from t) union all (select c, d from u force index (x) limit 1)", "t u"),
    ("select if(a, b, c), (select max(d) from e) from f natural join g", "e f g"),
])
def test_tables_are_found_where_they_are_named(text: str, names: str) -> None:
    found = mentions(text.encode(), LexMode())
    assert " ".join(one.name + "+" * one.has_alias for one in found) == names
    for one in found:
        assert text.encode()[one.start : one.end].strip(b"`").decode() == one.name


@pytest.mark.parametrize(("text", "where"), [
    ("select a from t", ""),
    ("select a from t where b = 1", " b = 1"),
    ("select (select 1 where 2) from t where b in (select 1 where 3 order by 1) order by c",
     " b in (select 1 where 3 order by 1) "),
    ("select t.where from t where t.group = 1 and 'where' <> `order` limit 3", " t.group = 1 and 'where' <> `order` "),
    ("select 1 from t where a;", " a"),
])
def test_the_outermost_where(text: str, where: str) -> None:
    assert where_of(text.encode(), LexMode()).decode() == where
