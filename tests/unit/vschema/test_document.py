"""Edits in place: what is not asked for stays as it was, whatever the layout; what cannot be edited is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.vschema.document import CannotEdit, append, entry, put, read, remove, remove_item

BLOCK = """\
# all of it
keyspaces:
  product:
    sharded: false   # one server
    shards: ["-"]
    tables:
      customer_seq: {type: sequence}   # ids
      # the end of the tables

  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer:
        column_vindexes: [{column: customer_id, name: hash}]
        auto_increment: {column: customer_id, sequence: product.customer_seq}
      corder:
        column_vindexes:
          - column: customer_id  # where it lies
            name: hash
          - {column: id, name: hash}
        pinned:
    shards:
      "-80": {host: 127.0.0.1, port: 3307, user: vgate, password: ${PW}, database: customer}
      "80-": {host: 127.0.0.1, port: 3308, user: vgate, password: ${PW}, database: customer}
"""


def test_an_entry_more_comes_after_the_last_and_touches_nothing_else() -> None:
    after = put(BLOCK, ("keyspaces", "product", "tables", "other"), {"type": "sequence"})
    assert after == BLOCK.replace("   # ids\n", "   # ids\n      other: {type: sequence}\n")


def test_an_entry_more_between_braces() -> None:
    after = put(BLOCK, ("keyspaces", "customer", "vindexes", "xx"), {"type": "xxhash"})
    assert after == BLOCK.replace("{hash: {type: hash}}", "{hash: {type: hash}, xx: {type: xxhash}}")


def test_mappings_on_the_way_are_made() -> None:
    after = put(BLOCK, ("keyspaces", "product", "vindexes", "hash"), {"type": "hash"})
    assert after == BLOCK.replace(
        "   # ids\n", "   # ids\n    vindexes:\n      hash: {type: hash}\n"
    )


def test_what_is_empty_is_filled() -> None:
    after = put(BLOCK, ("keyspaces", "customer", "tables", "corder", "pinned"), "00")
    assert after == BLOCK.replace("pinned:", 'pinned: "00"')
    assert put("keyspaces:\n  a:\n    tables: # none\n", ("keyspaces", "a", "tables", "t"), {}) == (
        "keyspaces:\n  a:\n    tables: # none\n      t: {}\n"
    )
    assert put("keyspaces:\n  a: {tables: {}}", ("keyspaces", "a", "tables", "t"), {}) == (
        "keyspaces:\n  a: {tables: {t: {}}}"
    )


def test_another_value() -> None:
    assert put(BLOCK, ("keyspaces", "product", "sharded"), True) == BLOCK.replace("sharded: false", "sharded: true")


def test_an_entry_less() -> None:
    path = ("keyspaces", "customer", "tables", "customer", "auto_increment")
    line = "        auto_increment: {column: customer_id, sequence: product.customer_seq}\n"
    assert remove(BLOCK, path) == BLOCK.replace(line, "")


def test_the_last_entry_leaves_an_empty_mapping() -> None:
    after = remove(BLOCK, ("keyspaces", "product", "tables", "customer_seq"))
    assert after == BLOCK.replace("tables:\n      customer_seq: {type: sequence}   # ids\n", "tables: {}\n")
    assert remove("{a: {b: c}}", ("a", "b")) == "{a: {}}"


def test_an_entry_less_between_braces() -> None:
    assert remove("{a: 1, b: 2, c: 3}", ("a",)) == "{b: 2, c: 3}"
    assert remove("{a: 1, b: 2, c: 3}", ("b",)) == "{a: 1, c: 3}"
    assert remove("{a: 1, b: 2, c: 3}", ("c",)) == "{a: 1, b: 2}"


def test_items_of_lists() -> None:
    path = ("keyspaces", "customer", "tables", "corder", "column_vindexes")
    assert append(BLOCK, path, {"column": "x", "name": "hash"}) == BLOCK.replace(
        "          - {column: id, name: hash}\n",
        "          - {column: id, name: hash}\n          - {column: x, name: hash}\n",
    )
    assert remove_item(BLOCK, path, 1) == BLOCK.replace("          - {column: id, name: hash}\n", "")
    assert remove_item(BLOCK, path, 0) == BLOCK.replace(
        "          - column: customer_id  # where it lies\n            name: hash\n", ""
    )
    path = ("keyspaces", "customer", "tables", "customer", "column_vindexes")
    assert append(BLOCK, path, {"column": "x", "name": "z"}) == BLOCK.replace(
        "[{column: customer_id, name: hash}]", "[{column: customer_id, name: hash}, {column: x, name: z}]"
    )


def test_json_stays_json_in_its_layout_and_spelling() -> None:
    text = (
        '{\n\t"keyspaces": {\n\t\t"a": {\n\t\t\t"columnVindexes": [\n\t\t\t\t{"column": "b"}\n\t\t\t]'
        "\n\t\t}\n\t}\n}\n"
    )
    assert append(text, ("keyspaces", "a", "column_vindexes"), {"column": "c"}) == text.replace(
        '"b"}', '"b"},\n\t\t\t\t{"column": "c"}'
    )
    assert put(text, ("keyspaces", "a", "tables"), {}) == text.replace("\t\t\t]", '\t\t\t],\n\t\t\t"tables": {}')


def test_anchors_are_left_alone() -> None:
    with pytest.raises(CannotEdit, match="anchors"):
        put("a: &x {b: c}\nd: *x\n", ("d", "e"), "f")


def test_words_that_yaml_would_take_for_something_else_are_quoted() -> None:
    after = put("a: {b: c}", ("a", "on"), {"null": "1"})
    assert after == 'a: {b: c, "on": {"null": "1"}}'


NAMES = st.sampled_from(["a", "b", "c", "on", "x y", "80-", "é"])
TREES = st.recursive(st.just("v"), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3), st.booleans())
def test_any_tree_in_any_layout(tree: dict[str, object], path: list[str], block: bool) -> None:
    """Either the edit is made, and reads back (the edit itself checks that), or it is refused."""
    import yaml

    text = yaml.safe_dump(tree, default_flow_style=not block, allow_unicode=True)
    here = read(text)
    try:
        after = put(text, path, "new")
    except CannotEdit:
        pytest.fail(f"refused: {path} in {text!r}")
    assert entry(read(after), path[0]) is not None
    if entry(here, path[0]) is None:
        assert read(remove(after, path[:1])) == here
