"""The command line: words to options, errors to one line on stderr, results to exit codes."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import vgate
from vgate.cli import main
from vgate.config import CheckOptions, Config, ExplainOptions, Listen, LocalOptions, ServeOptions, native_hash
from vgate.errors import SYNTAX, ConfigError
from vgate.vschema.model import VSchema

GOOD = "keyspaces:\n  a: {}\n  b: {sharded: true, shards: ['-80', '80-']}\n"
BAD = "keyspaces:\n  a: {shraded: true}\n  b: {sharded: true}\n"
Options = ServeOptions | LocalOptions | ExplainOptions | CheckOptions


@dataclass
class FakeApp:
    """Records what it is asked to do."""

    seen: list[Options] = field(default_factory=list)
    answer: int = 0
    error: BaseException | None = None

    def _take(self, options: Options) -> int:
        self.seen.append(options)
        if self.error is not None:
            raise self.error
        return self.answer

    serve = local = explain = _take

    def check_live(self, options: CheckOptions, vschema: VSchema, config: Config) -> int:
        assert list(vschema.keyspaces) == ["a", "b"]
        assert isinstance(config, Config)
        return self._take(options)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    fake = FakeApp()
    monkeypatch.setitem(sys.modules, "vgate.app", fake)
    monkeypatch.setattr(vgate, "app", fake, raising=False)
    return fake


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vschema.yaml").write_text(GOOD)
    return tmp_path


def test_serve(app: FakeApp, here: Path) -> None:
    assert main(["serve"]) == 0
    assert app.seen == [ServeOptions(Path("vschema.yaml"))]
    (here / "vgate.yaml").write_text("")
    app.answer = 1
    assert main(["serve", "--vschema", "v", "--listen", "0.0.0.0:3306", "--workers", "4", "--unix-socket", "/s"]) == 1
    assert app.seen[1] == ServeOptions(Path("v"), Path("vgate.yaml"), Listen("0.0.0.0", 3306), Path("/s"), 4)
    main(["serve", "--config", "c"])
    assert app.seen[2] == ServeOptions(Path("vschema.yaml"), Path("c"))


def test_local(app: FakeApp, here: Path) -> None:
    assert main(["local"]) == 0
    assert app.seen == [LocalOptions(Path("vschema.yaml"))]
    words = ["--vschema", "v", "--schema", "s", "--data", "d", "--listen", ":1", "--reset"]
    words += ["--mysqld", "m", "--unix-socket", "u", "--workers", "2"]
    assert main(["local", *words]) == 0
    assert app.seen[1] == LocalOptions(
        Path("v"), Path("s"), Path("d"), Listen("127.0.0.1", 1), Path("u"), "m", True, 2
    )


def test_explain(app: FakeApp, here: Path) -> None:
    assert main(["explain", "select 1"]) == 0
    assert main(["explain", "--vschema", "v", "--keyspace", "k", "select 2"]) == 0
    assert app.seen == [ExplainOptions(Path("vschema.yaml"), "select 1"), ExplainOptions(Path("v"), "select 2", "k")]


def test_check_of_good_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "vschema.yaml: no faults in 2 keyspaces, 3 shards, 0 tables\n"


def test_check_prints_every_fault_with_its_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.yaml").write_text(BAD)
    (here / "vgate.yaml").write_text("lisen: 1\n")
    assert main(["check", "--vschema", "bad.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "bad.yaml:2: unknown field 'shraded' in keyspace a. Did you mean 'sharded'?",
        'bad.yaml:3: sharded keyspace b names no shards. Add e.g. shards: ["-80", "80-"] (local servers),'
        " or a mapping from shard name to address.",
        "vgate.yaml:1: unknown field 'lisen' in the configuration. Did you mean 'listen'?",
    ]
    assert captured.err == "3 faults\n"


def test_check_compares_users_with_keyspaces(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "c.yaml").write_text(f"users: {{u: {{password_hash: '{native_hash('x')}', keyspaces: [c]}}}}")
    assert main(["check", "--config", "c.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("c.yaml:1: user u may use keyspace 'c', which is not in the VSchema.")
    assert captured.err == "1 fault\n"


def test_check_prints_warnings_and_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "vgate.yaml").write_text("users: {u: {password: x}}")
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("vgate.yaml:1: warning: the password of user u can be read")


def test_check_without_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "vschema.yaml").unlink()
    assert main(["check"]) == 1
    assert capsys.readouterr().out.startswith("vschema.yaml:1: cannot be read: No such file")


def test_check_live_asks_the_app_only_for_good_files(app: FakeApp, here: Path) -> None:
    app.answer = 1
    assert main(["check", "--live"]) == 1
    assert app.seen == [CheckOptions(Path("vschema.yaml"), None, True)]
    (here / "vschema.yaml").write_text(BAD)
    assert main(["check", "--live"]) == 1
    assert len(app.seen) == 1


def test_errors_are_one_line_on_stderr(app: FakeApp, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for error in (ConfigError("no users"), SYNTAX(detail="no users")):
        app.error = error
        assert main(["serve"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("vgate: ")
        assert captured.err.endswith("no users\n")
        assert captured.err.count("\n") == 1


def test_faults_in_files_keep_their_places(app: FakeApp, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vgate.vschema.load import load_vschema

    (here / "vschema.yaml").write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        load_vschema(Path("vschema.yaml"), environ={})
    app.error = caught.value
    assert main(["serve"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["vschema.yaml:2:", "vschema.yaml:3:"]


def test_an_interrupt_is_no_traceback(app: FakeApp, here: Path) -> None:
    app.error = KeyboardInterrupt()
    assert main(["serve"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        [], ["frobnicate"], ["serve", "--listen", "a:b"], ["serve", "--workers", "0"], ["local", "--workers", "x"],
        ["explain"], ["check", "--nonsense"], ["serve", "surplus"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: vgate" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["serve"], ["local"], ["check"], ["explain"], ["hash-password"]])
def test_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  {' '.join(['vgate', *words])}" in capsys.readouterr().out.replace("\n  printf", "\n  vgate")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("vgate ")


@pytest.mark.parametrize("line", ["secret", "secret\n", "secret\r\n", "secret\nmore\n"])
def test_hash_password(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(line))
    assert main(["hash-password"]) == 0
    assert capsys.readouterr().out == "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7\n"


def test_hash_password_for_caching_sha2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret"))
    assert main(["hash-password", "--caching-sha2"]) == 0
    assert len(capsys.readouterr().out) == 65


def test_an_empty_password_has_no_hash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["hash-password"]) == 1
    assert "empty password" in capsys.readouterr().err


def test_a_password_typed_differently_the_second_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = iter(["secret", "secrte", "secret", "secret"])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert main(["hash-password"]) == 1
    assert capsys.readouterr().err == "vgate: the passwords differ\n"
    assert main(["hash-password"]) == 0
    assert capsys.readouterr().out == native_hash("secret") + "\n"
