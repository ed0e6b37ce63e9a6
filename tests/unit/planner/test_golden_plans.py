"""Golden plans: statements of every kind and the plan of each, refusals included, with the reason for the case.

The cases are in ``tests/golden/plans``: ``why``, the ``keyspace`` in use (none without), flags of the lexer's ``mode``,
``sql`` and its ``plan`` as VEXPLAIN shows it. ``vschema.yaml`` there is their VSchema, ``tables.yaml`` the tables as
servers have them. ``pytest --accept`` writes the plans anew: read the difference, a plan that could be wrong on two
shards is what these files are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from vgate.backend.schema import read_type
from vgate.planner.build import plan
from vgate.planner.columns import ColumnKind, ColumnType, TableInfo, UniqueKey
from vgate.planner.explain import explain
from vgate.planner.functions import AGGREGATES
from vgate.planner.plan import EveryShard, Everywhere, Insert, Pass, Planned, Points, Refuse, Route
from vgate.planner.resolve import resolve
from vgate.sql.lexer import LexError, LexMode, Slots, lexer_for
from vgate.vschema.load import examine
from vgate.vschema.model import TableName, TableType, VSchema

DIRECTORY = Path(__file__).resolve().parents[2] / "golden" / "plans"
SUPPORT = ("vschema.yaml", "tables.yaml")
FILES = sorted(path for path in DIRECTORY.glob("*.yaml") if path.name not in SUPPORT)
FIELDS = ("why", "keyspace", "mode", "sql", "plan")

Case = dict[str, Any]


# -- the world of the cases ---------------------------------------------------------------------------------------


@cache
def vschema() -> VSchema:
    text = (DIRECTORY / "vschema.yaml").read_text(encoding="utf-8")
    examined = examine(text, filename="vschema.yaml", environ={}, read_file=lambda name: "")
    assert examined.vschema is not None, [str(fault) for fault in examined.faults]
    return examined.vschema


@cache
def tables() -> dict[TableName, TableInfo]:
    found = yaml.safe_load((DIRECTORY / "tables.yaml").read_text(encoding="utf-8"))
    infos = (_table(TableName(*name.split(".", 1)), body) for name, body in found.items())
    return {info.name: info for info in infos}


def _table(name: TableName, body: dict[str, dict[str, Any]]) -> TableInfo:
    keys = tuple(UniqueKey(key, tuple(columns)) for key, columns in body["unique"].items())
    return TableInfo(name, tuple(_column(column, words) for column, words in body["columns"].items()), keys)


def _column(name: str, written: str) -> ColumnType:
    sql, *words = written.split()
    if words[:1] == ["unsigned"]:
        sql = f"{sql} {words.pop(0)}"
    found = read_type(sql)
    collation = next((word for word in words if word.startswith("utf8mb4_")), "")
    flags = {"auto_increment", "generated", "invisible"} & set(words)
    text = found.kind is ColumnKind.TEXT
    return ColumnType(
        name, sql, found.kind, found.length, found.fixed, found.bits, found.unsigned, found.scale,
        charset="utf8mb4" if text else "", collation=collation, nullable="null" in words,
        default=next((word.removeprefix("default=") for word in words if word.startswith("default=")), None),
        computed_default="computed" in words, **dict.fromkeys(flags, True),
    )  # fmt: skip


class Servers:
    """A catalog that knows a table only once it has been asked for, as the real one does."""

    def __init__(self) -> None:
        self.known: dict[TableName, TableInfo] = {}

    @property
    def vschema(self) -> VSchema:
        return vschema()

    def table(self, name: TableName) -> TableInfo | None:
        return self.known.get(name)


def planned(case: Case) -> tuple[Planned | str, Slots, LexMode]:
    """What the statement comes to; a text where there is no plan at all."""
    mode = LexMode(**case.get("mode", {}))
    text = case["sql"].encode("utf-8")
    catalog = Servers()
    try:
        shape, slots = lexer_for(mode).split(text)
        for _ in range(3):
            found = plan(text, shape, mode, case.get("keyspace"), catalog)
            if isinstance(found, Planned):
                return found, slots, mode
            for name in found.tables:
                if name not in tables():
                    return f"error: there is no table {name}", slots, mode
                catalog.known[name] = tables()[name]
    except LexError as error:
        return f"no SQL: {error}", [], mode
    raise AssertionError("the planner goes on asking for tables")


def shown(case: Case) -> str:
    found, slots, _ = planned(case)
    return found if isinstance(found, str) else explain(found, slots)


# -- the files ----------------------------------------------------------------------------------------------------


def read(path: Path) -> list[Case]:
    cases: list[Case] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return cases


def written(path: Path, cases: list[Case]) -> str:
    """The file anew: its first comment, and one block for each case."""
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return "\n".join([*head, ""]) + "\n".join(map(_block, cases))


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _block(case: Case) -> str:
    ordered = {field: case[field] for field in FIELDS if field in case}
    text: str = yaml.dump([ordered], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=116)
    return text


def all_cases() -> Iterator[tuple[str, Case]]:
    for path in FILES:
        for number, case in enumerate(read(path), 1):
            yield f"{path.stem}-{number}", case


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_plans(path: Path, accept: bool) -> None:
    cases = read(path)
    found = [shown(case) for case in cases]
    if accept:
        text = written(path, [{**case, "plan": plan_} for case, plan_ in zip(cases, found, strict=True)])
        path.write_text(text, encoding="utf-8")
        return
    wrong = [
        f"{path.name}: {case['sql']}\n  expected: {case.get('plan')}\n  found:    {plan_}"
        for case, plan_ in zip(cases, found, strict=True) if plan_ != case.get("plan")
    ]  # fmt: skip
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_as_accept_writes_them(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == written(path, read(path))


def test_there_are_many_and_each_has_its_reason() -> None:
    cases = [case for _, case in all_cases()]
    assert len(cases) > 400
    for case in cases:
        assert set(case) <= set(FIELDS), case
        assert case["why"], case
    asked = [(case.get("keyspace"), str(case.get("mode")), case["sql"]) for case in cases]
    twice = {one for one in asked if asked.count(one) > 1}
    assert not twice


# -- what holds for every case ------------------------------------------------------------------------------------

CASES = [pytest.param(case, id=name) for name, case in all_cases()]


@pytest.mark.parametrize("case", CASES)
def test_plans_stand_by_themselves(case: Case) -> None:
    """Plans name no values: the same statement with other literals has the same plan, if it depends on none."""
    found, slots, mode = planned(case)
    if isinstance(found, str):
        return
    assert hash(found) is not None, "plans are kept in a cache and shared"
    assert explain(found), "a plan can be shown without literals"
    assert all(0 <= index < len(slots) for index in found.depends)
    if isinstance(found.plan, Route):
        for where in (found.plan.where, *found.plan.others):
            resolve(where, slots, mode)


@pytest.mark.parametrize("case", CASES)
def test_only_sharded_keyspaces_are_split(case: Case) -> None:
    found, _, _ = planned(case)
    if isinstance(found, str):
        return
    match found.plan:
        case Route(keyspace=keyspace) | EveryShard(keyspace=keyspace):
            assert vschema().keyspace(keyspace).sharded
        case Pass(keyspace=keyspace):
            assert not vschema().keyspace(keyspace).sharded
        case Insert(table=table, sharding=sharding):
            sharded = vschema().keyspace(table.name.keyspace).sharded and table.type is not TableType.REFERENCE
            assert sharded == (sharding is not None)
        case Everywhere(tables=names):
            types = {vschema().keyspace(name.keyspace).tables[name.table].type for name in names}
            assert types == {TableType.REFERENCE}
        case Refuse(error=error):
            assert error.errno in (1046, 1049, 1064, 1075, 1105, 1109, 1136, 1146, 1235, 1234), error
            assert "\n" not in error.message


OTHER_LITERALS = (b"7", b"1.5", b"'q'", b"0x41")


@pytest.mark.parametrize("case", CASES)
def test_one_shape_has_one_plan(case: Case) -> None:
    """The cache finds a plan by the shape: whatever literals stand there, it must be the plan for them, too."""
    mode = LexMode(**case.get("mode", {}))
    text = case["sql"].encode("utf-8")
    try:
        shape, slots, places = lexer_for(mode).locate(text)
    except LexError:
        return
    first, _, _ = planned(case)
    for other in OTHER_LITERALS:
        changed = text
        for (start, end), slot in reversed(list(zip(places, slots, strict=True))):
            if isinstance(slot, bytes):
                changed = changed[:start] + other + changed[end:]
        if changed == text or lexer_for(mode).split(changed)[0] != shape:
            continue
        second, _, _ = planned({**case, "sql": changed.decode("utf-8")})
        if isinstance(first, str) or isinstance(second, str):
            assert first == second
            continue
        kept = not isinstance(first.plan, Refuse) and not isinstance(second.plan, Refuse)  # refusals are not kept
        if kept and not (first.depends or second.depends):
            assert first.plan == second.plan, changed


@pytest.mark.parametrize("name", sorted(AGGREGATES))
@pytest.mark.parametrize(
    "call", ["{}(age)", "{}(age, name)", "{}(distinct age)", "{} (customer.age)", "1 + {}(age)", "{}(age) over ()",
             "(select {}(customer.age))", "(select {}(customer.age) from dual)", "{}(*)"],
)  # fmt: skip
def test_no_aggregate_slips_through(name: str, call: str) -> None:
    """Whatever sqlglot takes an aggregate for, its rows are not those of each shard one after the other."""
    sql = f"select {call.format(name)} from customer"
    found, _, _ = planned({"keyspace": "customer", "sql": sql})
    assert isinstance(found, Planned)
    assert isinstance(found.plan, Refuse) or (isinstance(found.plan, Route) and found.plan.single_shard_only), sql


@pytest.mark.parametrize(
    "call",
    ["abs(age)", "coalesce(name, 'x')", "if(age > 1, 'a', 'b')", "cast(age as char(10))",
     "convert(age, decimal(10, 2))",
     "date_add(created, interval 1 day)", "json_extract(name, '$.a')", "st_x(name)", "substring(name from 2 for 3)",
     "trim(both ' ' from name)", "extract(year from created)", "group_concat", "replace(name, 'a', 'b')",
     "left(name, 1)", "insert(name, 1, 2, 'x')", "char(65 using utf8mb4)", "position('a' in name)", "values(name)",
     "regexp_replace(name, 'a', 'b')", "case when (age) then (1) else (2) end", "name in ('a', 'b')", "nvl(name, 'x')",
     "(age) between (1) and (2)", "not (age)", "timestampdiff(day, created, now(3))", "weight_string(name)"],
)  # fmt: skip
def test_functions_of_a_row_go_to_all_shards(call: str) -> None:
    found, _, _ = planned({"keyspace": "customer", "sql": f"select {call} from customer"})
    assert isinstance(found, Planned)
    assert isinstance(found.plan, Route)
    assert found.plan.single_shard_only == ""


def test_long_chains_and_deep_nests() -> None:
    """Statements that programs write may be long; those that nobody can read are refused, not answered by a crash."""

    def of(condition: str) -> Planned:
        found, _, _ = planned({"keyspace": "customer", "sql": f"select * from customer where {condition}"})
        assert isinstance(found, Planned)
        return found

    chain = of(" or ".join(f"customer_id = {number}" for number in range(3000)))
    assert isinstance(chain.plan, Route)
    assert isinstance(chain.plan.where, Points)
    assert len(chain.plan.where.sources) == 3000
    both = of(" and ".join(f"customer_id = {number}" for number in range(3000)))
    assert isinstance(both.plan, Route)
    assert resolve(both.plan.where, [b"1"] * 3000, LexMode()) == resolve(chain.plan.where, [b"1"] * 3000, LexMode())
    nested = of("(" * 5000 + "customer_id = 5" + ")" * 5000)
    assert isinstance(nested.plan, Refuse)
    union = " union all ".join(["select * from customer"] * 500)
    many, _, _ = planned({"keyspace": "customer", "sql": union})
    assert isinstance(many, Planned)
    assert isinstance(many.plan, Refuse)
    assert "more than 200 tables" in many.plan.error.message
