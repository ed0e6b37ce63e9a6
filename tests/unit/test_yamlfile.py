"""The YAML reader: values stay as written, lines are exact, JSON is accepted, variables are filled in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.yamlfile import (
    List,
    Map,
    Node,
    Problem,
    Report,
    Scalar,
    camel,
    closest,
    expand,
    fields,
    is_nothing,
    parse,
    read_bool,
    read_number,
    read_seconds,
)


def tree(text: str) -> Node:
    report = Report("f")
    root = parse(text, report)
    assert root is not None, report.faults
    assert not report.faults
    return root


def plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.text
        case Map():
            return {pair.key.text: plain(pair.value) for pair in node.pairs}
        case List():
            return [plain(item) for item in node.items]


def faults(text: str) -> list[str]:
    report = Report("f")
    parse(text, report)
    return [str(problem) for problem in report.faults]


@pytest.mark.parametrize("word", ["-80", "80-", "0", "010", "1e3", "on", "yes", "null", "2001-01-01", "1:30", "0x80"])
def test_words_that_yaml_takes_for_other_things_stay_as_written(word: str) -> None:
    assert plain(tree(f"{word}: [{word}, {{{word}: {word}}}]")) == {word: [word, {word: word}]}


def test_lines_are_those_of_the_file() -> None:
    root = tree("# one\n\na: 1\nb:\n  - x\n\n  - {y: z,\n     w: v}\n")
    assert isinstance(root, Map)
    assert [pair.key.line for pair in root.pairs] == [3, 4]
    items = root.pairs[1].value
    assert isinstance(items, List)
    assert [item.line for item in items.items] == [5, 7]
    second = items.items[1]
    assert isinstance(second, Map)
    assert [pair.key.line for pair in second.pairs] == [7, 8]


def test_json_indented_with_tabs() -> None:
    assert plain(tree('{\n\t"a": {\n\t\t"b":["c", "d\\te"]}}')) == {"a": {"b": ["c", "d\te"]}}


def test_tabs_in_yaml_are_refused_and_in_its_strings_kept() -> None:
    assert faults("a:\n\tb: c")[0].startswith("f:2: ")
    assert "spaces" in faults("a:\n\tb: c")[0]
    assert plain(tree('a: "x\ty"')) == {"a": "x\ty"}


@given(st.recursive(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-80\" ", max_size=5), inner, max_size=3),
))
def test_json_is_yaml(value: object) -> None:
    text = json.dumps({"root": value}, indent="\t")
    assert plain(tree(text)) == {"root": value}


def test_variables_may_stand_unquoted_between_braces() -> None:
    root = tree("a: {password: ${SECRET}, other: 'x${B}y'}\nb: ${C}\nc: \"${D}\"")
    assert plain(root) == {"a": {"password": "${SECRET}", "other": "x${B}y"}, "b": "${C}", "c": "${D}"}


def test_the_stand_ins_for_braces_do_not_touch_the_same_characters_in_the_file() -> None:
    assert plain(tree("a: \"\ue000 ${X} \ue001\"")) == {"a": "\ue000 ${X} \ue001"}


@pytest.mark.parametrize(
    ("text", "expanded", "missing"),
    [
        ("${A}", "1", []),
        ("x${A}${B}y", "x12y", []),
        ("$${A}", "${A}", []),
        ("$A {A}", "$A {A}", []),
        ("${EMPTY}", "", []),
        ("${NO}${NOT}", None, ["NO", "NOT"]),
        ("${}", None, ["${}"]),
        ("${a b}", None, ["${a b}"]),
    ],
)
def test_expand(text: str, expanded: str | None, missing: list[str]) -> None:
    report = Report("f")
    found = expand(Scalar(text, 3), {"A": "1", "B": "2", "EMPTY": ""}, "it", report)
    assert found == expanded
    assert [problem.line for problem in report.faults] == [3] * len(missing)
    assert all(name in str(fault) for name, fault in zip(missing, report.faults, strict=True))


def test_duplicate_keys() -> None:
    assert faults("a: 1\nb: 2\n'a': 3") == ["f:3: 'a' is written twice (first on line 1). Remove one."]


def test_merge_keys_are_applied_and_own_keys_win() -> None:
    root = tree("base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nc: {<<: [*b, *m], x: 9}")
    assert plain(root)["c"] == {"x": "9", "y": "2", "z": "4"}  # type: ignore[index]


def test_an_anchor_within_itself_is_refused() -> None:
    assert "contains itself" in faults("a: &a [*a]")[0]
    assert "contains itself" in faults("a: &a {<<: *a}")[0]


def test_many_aliases_of_aliases_cost_nothing() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    tree("\n".join(lines))


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\x00", "a: \x07", "&", "a: !x b", "a: 1\n---\nb: 2", "[" * 5000])
def test_what_is_no_yaml_is_one_fault_with_a_remedy(text: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith("f:")
    assert fault.endswith(".")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    report = Report("f")
    root = parse(text, report)
    assert root is not None or report.faults


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert is_nothing(tree(""))
    assert is_nothing(tree("# only this\n"))


def test_booleans() -> None:
    for word, value in {"true": True, "yes": True, "On": True, "no": False, "FALSE": False, "~": False}.items():
        report = Report("f")
        assert read_bool(Scalar(word, 1), "it", report) is value
        assert not report.faults
    report = Report("f")
    read_bool(Scalar("true", 1, plain=False), "it", report)
    assert report.faults


@pytest.mark.parametrize(
    ("word", "number"), [("7", 7), ("007", 7), ("-1", None), ("1.0", None), ("٣", None), ("11", None)]
)
def test_numbers(word: str, number: int | None) -> None:
    report = Report("f")
    assert read_number(Scalar(word, 1), "it", report, low=0, high=10) == number
    assert bool(report.faults) == (number is None)


@pytest.mark.parametrize(("word", "seconds"), [("7", 7.0), ("0.5", 0.5), ("0", None), ("-1", None), ("inf", None)])
def test_seconds(word: str, seconds: float | None) -> None:
    assert read_seconds(Scalar(word, 1), "it", Report("f")) == seconds


def test_fields_in_either_spelling() -> None:
    report = Report("f")
    root = tree("column_vindexes: 1\nautoIncrement: 2\npined: 3")
    assert isinstance(root, Map)
    found = fields(root, "it", ("column_vindexes", "auto_increment", "pinned"), report)
    assert list(found) == ["column_vindexes", "auto_increment"]
    assert [str(fault) for fault in report.faults] == ["f:3: unknown field 'pined' in it. Did you mean 'pinned'?"]
    assert camel("column_list_authoritative") == "columnListAuthoritative"


def test_closest_names_all_where_nothing_is_close() -> None:
    assert closest("zzz", ["a", "b"]) == "Known here: a, b."
    assert closest("zzz", []) == ""


def test_a_problem_is_one_line() -> None:
    assert str(Problem("f.yaml", 12, "it is wrong", "Mend it.")) == "f.yaml:12: it is wrong. Mend it."
    assert str(Problem("f.yaml", 12, "is it right?")) == "f.yaml:12: is it right?"
