"""Whatever a file says, reading it ends in a model or in faults, never in an exception."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vgate.config import examine_config
from vgate.vschema.load import examine

WORDS = (
    "keyspaces sharded vindexes tables shards type params owner column_vindexes columns column name auto_increment"
    " sequence pinned source reference host port user password database unix_socket hash xxhash a.b a b -80 80- - 0"
    " listen users tls pools limits backend_tls admin mode wait keyspaces password_hash 127.0.0.1:1 ${A} ${PATH}"
)
TEXT = st.sampled_from(WORDS.split()) | st.text(max_size=4)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99999) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)
TABLE = st.fixed_dictionaries({}, optional={
    "type": VALUE, "column_vindexes": VALUE | st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=2),
    "auto_increment": VALUE | st.fixed_dictionaries({"column": TEXT, "sequence": TEXT}), "columns": VALUE,
    "pinned": VALUE, "source": VALUE, "column_list_authoritative": VALUE,
})  # fmt: skip
KEYSPACE = st.fixed_dictionaries({}, optional={
    "sharded": st.booleans() | VALUE, "vindexes": VALUE | st.dictionaries(TEXT, VALUE, max_size=2),
    "tables": VALUE | st.dictionaries(TEXT, TABLE, max_size=3), "shards": VALUE, "foreign_key_mode": VALUE,
    "multi_tenant_spec": VALUE, "require_explicit_routing": VALUE,
})  # fmt: skip
VSCHEMA = st.fixed_dictionaries({"keyspaces": st.dictionaries(TEXT, KEYSPACE | VALUE, max_size=3)}, optional={
    "metadata_keyspace": VALUE, "sequence_kind": VALUE, "routing_rules": VALUE,
})  # fmt: skip
CONFIG = st.dictionaries(TEXT, VALUE, max_size=4)


def no_file(name: str) -> str:
    raise FileNotFoundError(name)


@given(VSCHEMA | VALUE)
def test_any_vschema(value: object) -> None:
    examined = examine(json.dumps(value), filename="f", environ={"PATH": "x"}, read_file=no_file)
    assert (examined.vschema is None) == bool(examined.faults)
    assert all(problem.line == 1 for problem in (*examined.faults, *examined.warnings))


@given(CONFIG | VALUE)
def test_any_configuration(value: object) -> None:
    examined = examine_config(json.dumps(value), filename="f", environ={"PATH": "x"}, directory=Path("/nowhere"))
    assert (examined.config is None) == bool(examined.faults)
