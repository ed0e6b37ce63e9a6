"""Good VSchemas: what the model says of them. (Bad ones are golden files.)"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from vgate.errors import ConfigError, VgateError
from vgate.vschema.load import Examined, VSchemaError, examine, examine_file, load_vschema, parse_vschema
from vgate.vschema.model import Address, AutoIncrement, TableName, TableType, VSchema

EXAMPLE = Path(__file__).resolve().parents[3] / "vschema.yaml"
ADDRESSES = """
keyspaces:
  product: {tables: {customer_seq: {type: sequence}}, shards: {0: {unix_socket: /run/x.sock, user: ${WHO}}}}
  customer:
    sharded: true
    shards:
      80-: {host: ${HOST}, port: "${PORT}", user: v, password: "a${PW}$${b}", database: c80}
      -80: {host: "::1", user: v}
"""


def load(text: str, **environ: str) -> VSchema:
    def read_file(name: str) -> str:
        raise AssertionError(f"nobody asked for {name}")

    return parse_vschema(text, filename="v.yaml", environ=environ, read_file=read_file)


def look(text: str) -> Examined:
    return examine(text, filename="v.yaml", environ={}, read_file=lambda name: name)


def test_the_documented_example() -> None:
    vschema = load_vschema(EXAMPLE, environ={})
    assert examine_file(EXAMPLE, environ={}).warnings == ()
    product, customer = vschema.keyspace("product"), vschema.keyspace("customer")
    assert not product.sharded
    assert [shard.name for shard in product.shards] == ["-"]
    assert product.tables["customer_seq"].type is TableType.SEQUENCE
    assert customer.sharded
    assert [(shard.name, shard.address) for shard in customer.shards] == [("-80", None), ("80-", None)]
    table = customer.tables["customer"]
    assert table.primary_vindex is not None
    assert table.primary_vindex.columns == ("customer_id",)
    assert table.primary_vindex.vindex is customer.vindexes["hash"]
    assert table.primary_vindex.vindex.type == "hash"
    assert table.auto_increment == AutoIncrement("customer_id", TableName("product", "customer_seq"))


def test_the_example_with_addresses_as_its_comment_shows_them(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = text[text.index("    # shards:\n"):].replace("    # ", "    ")
    path = tmp_path / "vschema.yaml"
    path.write_text(text.replace('shards: ["-80", "80-"]', "") + shown, encoding="utf-8")
    vschema = load_vschema(path, environ={"CUSTOMER_80_PASSWORD": "geheim"})
    assert vschema.keyspace("customer").shards[0].address == Address(
        user="vgate", password="geheim", database="customer", host="127.0.0.1", port=3307
    )


def test_addresses() -> None:
    vschema = load(ADDRESSES, WHO="me", HOST="db", PORT="3307", PW="}s{")
    (single,) = vschema.keyspace("product").shards
    assert single.name == "0"
    assert single.address == Address(user="me", password="", database="product", host="", unix_socket="/run/x.sock")
    low, high = vschema.keyspace("customer").shards
    assert (low.name, high.name) == ("-80", "80-")  # in key order, whatever the order of the file
    assert low.address == Address(user="v", password="", database="customer", host="::1", port=3306)
    assert high.address == Address(user="v", password="a}s{${b}", database="c80", host="db", port=3307)
    assert "}s{" not in repr(vschema)


def test_shards_are_found_by_vitess_equality() -> None:
    customer = load(ADDRESSES, WHO="me", HOST="db", PORT="3307", PW="p").keyspace("customer")
    found = customer.shard("-8000")
    assert found is not None
    assert found.name == "-80"
    assert customer.shard("-40") is None


@pytest.mark.parametrize("shards", ['["-"]', "[-]", "[0]", '{"0": }', "{-: ~}", "{-: {}}", "", "~"])
def test_one_shard_however_it_is_written(shards: str) -> None:
    (shard,) = load(f"keyspaces: {{a: {{shards: {shards} }}}}").keyspace("a").shards
    assert shard.name in ("-", "0")
    assert shard.address is None


@pytest.mark.parametrize("shards", ["[-40, 40-80, 80-]", '{80-: ,"-40": ,40-80: }', '["80-", "40-80", "-40"]'])
def test_shards_in_key_order(shards: str) -> None:
    keyspace = load(f"keyspaces: {{a: {{sharded: true, shards: {shards}}}}}").keyspace("a")
    assert [shard.name for shard in keyspace.shards] == ["-40", "40-80", "80-"]
    assert list(keyspace.shard_map.names) == ["-40", "40-80", "80-"]


def test_many_shards() -> None:
    bounds = ["", *(f"{n:02x}" for n in range(1, 256)), ""]
    names = [f"{low}-{high}" for low, high in pairwise(bounds)]
    keyspace = load(f"keyspaces: {{a: {{sharded: true, shards: {json.dumps(names)}}}}}").keyspace("a")
    assert [shard.name for shard in keyspace.shards] == names


VITESS = {
    "keyspaces": {
        "seq": {"sharded": False, "tables": {"s": {"type": "sequence"}, "other": {}}},
        "main": {
            "sharded": True,
            "shards": ["-80", "80-"],
            "requireExplicitRouting": True,
            "foreignKeyMode": "unmanaged",
            "vindexes": {"null": {"type": "null", "params": {}, "owner": ""}, "x": {"type": "xxhash"}},
            "tables": {
                "t": {
                    "type": "",
                    "columnVindexes": [{"column": "", "columns": ["Id"], "name": "x"}],
                    "autoIncrement": {"column": "ID", "sequence": "s"},
                    "columns": [
                        {"name": "Id", "type": "INT64"},
                        {"name": "v", "type": "varchar", "collationName": "utf8mb4_bin"},
                    ],
                    "source": "",
                    "columnListAuthoritative": True,
                    "pinned": "",
                },
                "n": {"column_vindexes": [{"column": "on", "name": "null"}]},
            },
        },
    },
    "routingRules": {"rules": []},
    "shardRoutingRules": {},
    "mirrorRules": None,
}


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_vitess_json(indent: int | str | None) -> None:
    vschema = load(json.dumps(VITESS, indent=indent))
    main = vschema.keyspace("main")
    table = main.tables["t"]
    assert table.column_vindexes[0].columns == ("id",)
    assert table.auto_increment == AutoIncrement("id", TableName("seq", "s"))
    assert [(column.name, column.type, column.collation) for column in table.columns] == [
        ("id", "INT64", ""), ("v", "VARCHAR", "utf8mb4_bin"),
    ]
    assert table.column_list_authoritative
    assert table.pinned is None
    assert main.vindexes["null"].type == "null"
    assert main.tables["n"].column_vindexes[0].columns == ("on",)
    assert main.require_explicit_routing


def test_unqualified_names_are_looked_up_where_routing_is_not_explicit() -> None:
    vschema = load(json.dumps(VITESS))
    assert [table.name.keyspace for table in vschema.tables_named("other")] == ["seq"]
    assert vschema.tables_named("t") == ()


def test_sequence_kind() -> None:
    assert load("sequence_kind: simple\nkeyspaces: {a: {}}").sequence_kind == "simple"
    assert load("keyspaces: {a: {}}").sequence_kind == "group"
    faults = look("sequence_kind: simpel\nkeyspaces: {a: {}}").faults
    assert [(fault.line, fault.message) for fault in faults] == [(1, "sequence_kind is 'simpel'")]


def test_metadata_keyspace() -> None:
    assert load("metadata_keyspace: a\nkeyspaces: {a: {}}").metadata_keyspace == "a"
    assert load("keyspaces: {a: {}}").metadata_keyspace is None
    faults = look("metadata_keyspace: a\nkeyspaces: {a: {sharded: true, shards: [-]}}").faults
    assert [(fault.line, fault.message) for fault in faults] == [(1, "metadata_keyspace a is sharded")]


def test_column_vindexes_do_not_shard_what_is_not_sharded() -> None:
    text = "keyspaces: {a: {vindexes: {h: {type: hash}}, tables: {t: {column_vindexes: [{column: c, name: h}]}}}}"
    assert load(text).keyspace("a").tables["t"].column_vindexes == ()
    assert len(look(text).warnings) == 2


def test_a_static_map_is_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"1": 2}', encoding="utf-8")
    path = tmp_path / "vschema.yaml"
    path.write_text(
        "keyspaces: {a: {sharded: true, shards: [-], vindexes:"
        " {m: {type: numeric_static_map, params: {json_path: map.json}}}}}", encoding="utf-8",
    )
    assert load_vschema(path, environ={}).keyspace("a").vindexes["m"].map(1) == (2).to_bytes(8, "big")


def test_all_faults_are_in_the_error() -> None:
    with pytest.raises(VSchemaError) as caught:
        load("keyspaces:\n  a: {shraded: true}\n  b: {tabels: {}}\n")
    assert isinstance(caught.value, ConfigError)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [("v.yaml", 2), ("v.yaml", 3)]
    assert str(caught.value).splitlines() == [
        "v.yaml:2: unknown field 'shraded' in keyspace a. Did you mean 'sharded'?",
        "v.yaml:3: unknown field 'tabels' in keyspace b. Did you mean 'tables'?",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VSchemaError, match="cannot be read: No such file"):
        load_vschema(tmp_path / "none.yaml", environ={})
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9\nkeyspaces: {a: {}}")
    with pytest.raises(VSchemaError, match="is not UTF-8 text"):
        load_vschema(tmp_path / "latin.yaml", environ={})


def test_unknown_keyspaces_are_mysqls_error() -> None:
    with pytest.raises(VgateError) as caught:
        load("keyspaces: {a: {}}").keyspace("b")
    assert caught.value.errno == 1049


def test_a_password_may_come_from_the_environment_alone() -> None:
    (fault,) = look("keyspaces: {a: {shards: {0: {host: h, user: u, password: ${PW}}}}}").faults
    assert "PW, which is not set" in fault.message


@pytest.mark.parametrize(
    "vindex",
    [
        "{type: hsah}",
        "{type: lookup_unique, params: {table: x, from: a, to: b}, owner: t}",
        "{type: consistent_lookup, params: {table: x, from: a, to: b}}",
        "{type: multicol, params: {column_count: 2}}",
        "{type: numeric_static_map}",
        "{type: numeric_static_map, params: {json_path: none.json}}",
    ],
)
def test_what_a_vindex_type_refuses_is_a_fault_of_its_line(tmp_path: Path, vindex: str) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(
        f"keyspaces:\n  a:\n    sharded: true\n    shards: [-]\n    vindexes:\n      v: {vindex}\n    tables:\n"
        "      t: {column_vindexes: [{column: c, name: v}]}\n", encoding="utf-8",
    )
    (fault,) = examine_file(path, environ={}).faults
    assert fault.line == 6
    assert fault.message.startswith("vindex v: ")
