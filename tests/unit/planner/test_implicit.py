"""What definitions of tables on a sharded keyspace come to: texts for the shards, changes of the VSchema, refusals."""

from __future__ import annotations

import pytest

from vgate.errors import VgateError
from vgate.planner.definitions import ColumnDef, KeyDef, TableDef, read_body
from vgate.planner.implicit import Definition, NewSequence, read_definition
from vgate.planner.statements import Words
from vgate.sql.alter_vschema import AddAutoIncrement, AddVindex, VindexSpec
from vgate.sql.lexer import LexMode
from vgate.vschema.load import parse_vschema
from vgate.vschema.model import TableName, VSchema

VSCHEMA = """
keyspaces:
  product: {{sharded: false, shards: ["-"], tables: {{ids: {{type: sequence}}}}}}
  ks:
    sharded: true
    shards: ["-80", "80-"]
    {options}
    vindexes: {{by_hash: {{type: hash}}, map: {{type: numeric}}}}
    tables:
      customer: {{column_vindexes: [{{column: id, name: by_hash}}],
                 auto_increment: {{column: id, sequence: product.ids}}}}
      orders: {{column_vindexes: [{{column: cid, name: by_hash}}]}}
"""


def vschema(options: str) -> VSchema:
    return parse_vschema(VSCHEMA.format(options=options), filename="", environ={}, read_file=lambda name: name)


STRICT = vschema("require_explicit_routing: false")
FREE = vschema("auto_vindex: hash\n    foreign_keys: drop\n    secondary_unique: local")


def read(text: str, options: VSchema = STRICT) -> Definition:
    found = read_definition(text.encode(), LexMode(), "ks", options)
    assert found is not None
    return found


def body(text: str) -> TableDef:
    words = Words(text.encode(), LexMode())
    found = read_body(words)
    assert found is not None
    return found


# -- reading ------------------------------------------------------------------------------------------------------


def test_a_body_is_read_column_by_column() -> None:
    found = body(
        "(`Id` bigint(20) unsigned NOT NULL AUTO_INCREMENT BY GROUP UNIT COUNT 3 INDEX 1 COMMENT 'a, b) references',"
        " e enum('a', 'b') default 'a' unique key, r int references o.other (x) on delete set null on update cascade,"
        " d decimal(10, 2) default (1 + (2)), index i (e), constraint c check (d > 0),"
        " constraint fk foreign key (e, r) references other (a, b) on delete cascade,"
        " unique u using btree (d desc, e), unique (e(10)), unique ((d + 1)), primary key (`Id`)) auto_increment = 70"
    )
    assert [column.name for column in found.columns] == ["id", "e", "r", "d"]
    types = [column.type for column in found.columns]
    assert types == ["bigint(20) unsigned", "enum('a', 'b')", "int", "decimal(10, 2)"]
    counting = found.counting
    assert counting is not None
    assert counting.counter is not None
    assert (counting.counter.kind, counting.counter.unit, counting.not_null) == ("group", (3, 1), True)
    assert [column.unique for column in found.columns] == [False, True, False, False]
    references = found.columns[2].references
    assert references is not None
    assert references[0].table == ("o", "other")
    assert [(key.kind, key.columns, key.whole, key.name) for key in found.keys] == [
        ("index", ("e",), True, "i"), ("foreign", ("e", "r"), True, "fk"),
        ("unique", ("d", "e"), True, "u"), ("unique", ("e",), False, ""),
        ("unique", ("",), False, ""), ("primary", ("id",), True, "PRIMARY"),
    ]  # fmt: skip
    assert found.primary_key == ("id",)
    assert found.start == 70
    assert len(found.elements) == len(found.spans) == 11


@pytest.mark.parametrize("text", ["", "like t", "select 1", "(id int", "(id int, primary key (id)"])
def test_what_is_no_body_is_left_to_the_servers(text: str) -> None:
    assert read_body(Words(text.encode(), LexMode())) is None


def test_names_that_look_like_words_of_the_grammar() -> None:
    found = body("(`primary` int, `key` int, `check` int auto_increment, period int, k int key)")
    assert all(isinstance(one, ColumnDef) for one in found.elements)
    assert found.primary_key == ("k",)
    assert found.counting is found.columns[2]
    assert not any(isinstance(one, KeyDef) for one in found.elements)


# -- ids ----------------------------------------------------------------------------------------------------------

OWN = AddAutoIncrement("ks", "orders", "id", "AUTO_SEQ_orders", "ks")


@pytest.mark.parametrize(
    ("written", "sent", "kind", "unit", "start"),
    [
        ("id bigint auto_increment, cid int, primary key (cid, id)",
         "id bigint NOT NULL, cid int, primary key (cid, id)", "", None, 1),
        ("id bigint not null AUTO_INCREMENT BY SIMPLE comment 'x', cid int, primary key (cid, id)",
         "id bigint not null comment 'x', cid int, primary key (cid, id)", "simple", None, 1),
        ("cid int, id int auto_increment by group unit count 3 index 2, key (id)",
         "cid int, id int NOT NULL, key (id)", "group", (3, 2), 1),
    ],
)  # fmt: skip
def test_a_counting_column_gets_a_sequence_and_the_shards_a_plain_one(
    written: str, sent: str, kind: str, unit: tuple[int, int] | None, start: int
) -> None:
    found = read(f"create table orders ({written}) engine=innodb")
    assert found.text.decode() == f"create table orders ({sent}) engine=innodb"
    assert found.changes == (OWN,)
    assert found.sequence == NewSequence(TableName("ks", "AUTO_SEQ_orders"), "id", kind, unit, start)


def test_auto_increment_of_the_table_is_where_its_sequence_starts() -> None:
    found = read("create table if not exists orders (cid int, id int auto_increment key) auto_increment=7", FREE)
    assert found.sequence is not None
    assert found.sequence.start == 7


def test_a_sequence_of_the_vschema_stays() -> None:
    found = read("create table customer (id bigint auto_increment primary key)")
    assert found.text == b"create table customer (id bigint NOT NULL primary key)"
    assert (found.changes, found.sequence) == ((), None)
    with pytest.raises(VgateError, match="which has another sequence"):
        read("create table customer (id bigint auto_increment by simple primary key)")


def test_alter_table_changes_the_start_and_the_column() -> None:
    found = read("alter table customer auto_increment = 500, engine=innodb")
    assert (found.restart, found.text) == (500, b"alter table customer engine=innodb")
    found = read("alter table orders modify id bigint auto_increment")
    assert (found.changes, found.text) == ((OWN,), b"alter table orders modify id bigint NOT NULL")
    assert found.sequence is not None
    assert found.sequence.start is None


def test_a_counting_column_is_added_as_one_for_now() -> None:
    """So that the shards number the rows; PolarDB-X's words are not for them."""
    found = read("alter table orders add column (n int, id bigint auto_increment by simple unique), auto_increment = 9")
    assert found.text == b"alter table orders add column (n int, id bigint AUTO_INCREMENT unique), auto_increment = 9"
    assert (found.adds, found.adds_alone, found.restart, found.changes) == (True, False, 9, (OWN,))
    assert found.sequence is not None
    assert (found.sequence.column, found.sequence.kind) == ("id", "simple")
    found = read("alter table orders add id bigint auto_increment primary key first")
    assert (found.adds, found.adds_alone) == (True, True)
    for statement, why in (
        ("alter table customer add other int auto_increment unique", "only one auto column"),
        ("alter table orders add id serial", "SERIAL"),
        ("alter table orders modify id serial", "SERIAL"),
        ("alter table nosuch add id int auto_increment unique", "which the VSchema does not have"),
        ("alter table nosuch add (n int, id serial)", "which the VSchema does not have"),
    ):
        with pytest.raises(VgateError, match=why):
            read(statement)


def owned() -> VSchema:
    """The ids of orders come from its own sequence, as after such a CREATE TABLE."""
    text = VSCHEMA.format(options="require_explicit_routing: false")
    orders = "orders: {column_vindexes: [{column: cid, name: by_hash}]"
    text = text.replace(orders, f"{orders}, auto_increment: {{column: id, sequence: ks.AUTO_SEQ_orders}}")
    return parse_vschema(text, filename="", environ={}, read_file=lambda name: name)


@pytest.mark.parametrize(
    ("statement", "unbinds", "rebinds"),
    [
        ("modify id bigint", True, ""),
        ("change id id bigint not null", True, ""),
        ("drop column id", True, ""),
        ("drop `ID`", True, ""),
        ("drop key id", False, ""),
        ("modify id int unsigned auto_increment", False, ""),
        ("change column id number bigint auto_increment", False, "number"),
        ("modify other bigint", False, ""),
    ],
)
def test_alter_table_takes_the_sequence_away_or_along(statement: str, unbinds: bool, rebinds: str) -> None:
    found = read(f"alter table orders {statement}", owned())
    assert (found.unbinds, found.rebinds, found.changes) == (unbinds, rebinds, ())
    assert b"auto_increment" not in found.text


# -- new tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "change"),
    [
        ("id bigint primary key", AddVindex("ks", "fresh", "by_hash", ("id",))),
        ("a varchar(40) primary key",
         AddVindex("ks", "fresh", "unicode_loose_xxhash", ("a",), VindexSpec("unicode_loose_xxhash"))),
        ("a binary(16), primary key (a)", AddVindex("ks", "fresh", "xxhash", ("a",), VindexSpec("xxhash"))),
        ("d double, i int, primary key (d, i)", AddVindex("ks", "fresh", "by_hash", ("i",))),
    ],
)  # fmt: skip
def test_a_new_table_is_sharded_by_its_primary_key(columns: str, change: AddVindex) -> None:
    assert read(f"create table fresh ({columns})", FREE).changes == (change,)


@pytest.mark.parametrize(
    ("columns", "words"),
    [("a int", "a table without a primary key"), ("d double primary key", "whose type no vindex takes"),
     ("a serial primary key", "SERIAL")],
)  # fmt: skip
def test_a_new_table_that_cannot_be_sharded_so(columns: str, words: str) -> None:
    with pytest.raises(VgateError, match=words):
        read(f"create table fresh ({columns})", FREE)


def test_a_new_table_without_the_option_is_refused_with_the_statement_that_adds_it() -> None:
    for columns, vindex in (
        ("id bigint primary key", "hash(id) USING hash"),
        ("k varchar(9), primary key (k)", "unicode_loose_xxhash(k) USING unicode_loose_xxhash"),
    ):
        with pytest.raises(VgateError) as raised:
            read(f"create table fresh ({columns})")
        assert f"ALTER VSCHEMA ON ks.fresh ADD VINDEX {vindex}" in raised.value.message


def test_a_copy_is_sharded_as_its_original() -> None:
    assert read("create table fresh like customer", FREE).changes == (AddVindex("ks", "fresh", "by_hash", ("id",)),)
    with pytest.raises(VgateError, match=r"ADD VINDEX by_hash\(id\)"):
        read("create table fresh (like customer)")


# -- keys ---------------------------------------------------------------------------------------------------------

FOREIGN = [
    "create table orders (cid int, id int, constraint f foreign key (id) references customer (id), primary key (cid))",
    "create table orders (cid int, id int references customer (id), primary key (cid, id))",
    "alter table orders add constraint f foreign key (id) references customer (id) on delete cascade",
    "alter table orders add column (z int references customer (id))",
]
UNIQUE = [
    "create table orders (cid int, id int primary key)",
    "create table orders (cid int, id int unique, primary key (cid, id))",
    "create table orders (cid int, name varchar(9), unique u (name), primary key (cid))",
    "create table orders (cid varchar(9), unique u (cid(3)))",
    "alter table orders add unique key u (name)",
    "create unique index u on orders (name, id)",
]


@pytest.mark.parametrize("statement", FOREIGN)
def test_foreign_keys_between_shards_are_refused_or_dropped(statement: str) -> None:
    with pytest.raises(VgateError, match="foreign_keys: drop"):
        read(statement)
    found = read(statement, FREE)
    assert b"references" not in found.text
    assert ("constraint f" in statement) == (b"KEY `f` (`id`)" in found.text)
    assert any("foreign_keys: drop" in note for note in found.notes)


@pytest.mark.parametrize("statement", UNIQUE)
def test_unique_keys_over_shards_are_refused_or_local(statement: str) -> None:
    with pytest.raises(VgateError, match="secondary_unique: local"):
        read(statement)
    found = read(statement, FREE)
    assert found.text.decode() == statement
    assert any("secondary_unique: local" in note for note in found.notes)


@pytest.mark.parametrize(
    "statement",
    [
        "create table orders (cid int, id int, primary key (id, cid), foreign key (cid) references customer (id))",
        "create table orders (cid int, id int, unique (name, cid), foreign key (id, cid) references orders (id, cid))",
        "create table customer (id bigint primary key, o int, key (o))",
        "alter table orders add unique (cid), add index (id), drop index x",
        "create unique index u on orders (id, cid)",
    ],
)
def test_keys_that_one_shard_can_guard_are_fine(statement: str) -> None:
    found = read(statement)
    assert (found.text.decode(), found.notes) == (statement, ())


@pytest.mark.parametrize(
    "statement",
    ["create table product.x (id int auto_increment primary key)", "create index i on orders (id)", "drop table orders",
     "alter table fresh engine=innodb", "create view v as select 1"],
)  # fmt: skip
def test_other_statements_are_none_of_its_business(statement: str) -> None:
    assert read_definition(statement.encode(), LexMode(), "ks", STRICT) is None


def test_a_reference_table_has_all_its_rows_on_every_shard() -> None:
    options = "require_explicit_routing: false"
    text = VSCHEMA.format(options=options).replace("      orders:", "      country: {type: reference}\n      orders:")
    found = parse_vschema(text, filename="", environ={}, read_file=lambda name: name)
    made = read("create table country (id int auto_increment primary key, c int unique, p int references country (id))",
                found)  # fmt: skip
    assert b"unique" in made.text
    assert b"references" in made.text
    assert made.changes == (AddAutoIncrement("ks", "country", "id", "AUTO_SEQ_country", "ks"),)
    assert read("alter table orders add foreign key (c) references country (id)", found).notes == ()
    with pytest.raises(VgateError, match="foreign_keys: drop"):
        read("alter table country add foreign key (c) references customer (id)", found)
