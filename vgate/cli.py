"""The command line: ``serve``, ``local``, ``check``, ``explain``, ``hash-password``.

It turns words into options, errors into one clear line on stderr, and results into exit codes: 0 for done, 1 for a
fault in files, servers or statements, 2 for a wrong command line.
This module does not know how anything is done; ``app`` is loaded only by the commands that need it, so that
``vgate check`` starts fast and ``--help`` always works.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vgate import config
from vgate.config import CheckOptions, Config, ExplainOptions, Listen, LocalOptions, ServeOptions
from vgate.errors import ConfigError, SqlError
from vgate.vschema.load import examine_file
from vgate.vschema.model import VSchema
from vgate.yamlfile import FileError, Problem

DONE, FAULT, MISUSE = 0, 1, 2

_DESCRIPTION = "vgate makes many MySQL or MariaDB servers look like one."
_EXAMPLES = """
examples:
  vgate local                                   try it: private servers for every shard of vschema.yaml
  vgate check                                   every fault in vschema.yaml and vgate.yaml
  vgate check --live                            ... and what the servers make of it
  vgate serve --listen 0.0.0.0:3306             serve the servers that vschema.yaml names
  vgate explain "select * from customer where customer_id = 4"
  vgate hash-password                           a password for vgate.yaml
"""
_SERVE = """
Serves clients from the servers that the VSchema names. Users come from the configuration; without users it
does not start.

examples:
  vgate serve
  vgate serve --vschema prod/vschema.yaml --config prod/vgate.yaml --listen 0.0.0.0:3306 --workers 4
"""
_LOCAL = """
Starts a private MariaDB or MySQL server for every shard that has no address, applies DIR/KEYSPACE/*.sql to every
new shard, serves, and stops everything on Ctrl-C. User root, no password, from this machine only.

examples:
  vgate local
  vgate local --schema schema --data /tmp/vgate --listen 127.0.0.1:3306
  vgate local --reset                           begin anew: removes what --data holds
"""
_CHECK = """
Prints every fault with file, line and what to do, and exits with 1 if there is one.

examples:
  vgate check
  vgate check --vschema prod/vschema.yaml --config prod/vgate.yaml --live
"""
_EXPLAIN = """
Prints the plan of a statement from the VSchema alone: no server is asked.

examples:
  vgate explain "select * from customer where customer_id = 4"
  vgate explain --keyspace customer "insert into customer (name) values ('Ann')"
"""
_HASH = """
Reads a password from the terminal, or the first line of standard input, and prints the hash for vgate.yaml:

  users:
    app: {password_hash: "*..."}

examples:
  vgate hash-password
  printf %s "$PASSWORD" | vgate hash-password
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; a wrong command line exits with 2, as argparse does."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except FileError as error:
        print(error, file=sys.stderr)
        return FAULT
    except (ConfigError, SqlError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except KeyboardInterrupt:
        return FAULT


def _fail(message: str) -> int:
    print(f"vgate: {message}", file=sys.stderr)
    return FAULT


def _version() -> str:
    try:
        return version("vgate")
    except PackageNotFoundError:
        return "(not installed)"


# -- the words ----------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vgate", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"vgate {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(_command(commands, "serve", "serve clients from the servers of the VSchema", _SERVE, serve))
    _add_local(_command(commands, "local", "start private servers for every shard, and serve", _LOCAL, local))
    _add_check(_command(commands, "check", "report every fault of the configuration", _CHECK, check))
    _add_explain(_command(commands, "explain", "show how a statement would be run", _EXPLAIN, explain))
    _add_hash(_command(commands, "hash-password", "make a password hash for vgate.yaml", _HASH, hash_password))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    description, _, examples = text.strip().partition("\nexamples:")
    parser = commands.add_parser(
        name, help=summary, description=description, epilog="examples:" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def _add_vschema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vschema", type=Path, default=Path("vschema.yaml"), metavar="FILE",
        help="keyspaces, shards and vindexes (default: vschema.yaml)",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="users, TLS, pools, limits (default: vgate.yaml, if it is there)"
    )


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", type=_listen, metavar="HOST:PORT",
        help=f"where clients connect (default: {Listen()})",
    )
    parser.add_argument("--unix-socket", type=Path, metavar="PATH", help="also listen on a unix socket")
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="processes that share the port (default: 1)"
    )


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_vschema(parser)
    _add_config(parser)
    _add_listening(parser)


def _add_local(parser: argparse.ArgumentParser) -> None:
    _add_vschema(parser)
    parser.add_argument(
        "--schema", type=Path, metavar="DIR", help="apply DIR/KEYSPACE/*.sql to every new shard of each keyspace"
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".vgate"), metavar="DIR", help="where the servers keep data (default: .vgate)"
    )
    parser.add_argument("--mysqld", metavar="PROGRAM", help="the server to start (default: mariadbd or mysqld on PATH)")
    parser.add_argument("--reset", action="store_true", help="remove the data of earlier runs first")
    _add_listening(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_vschema(parser)
    _add_config(parser)
    parser.add_argument("--live", action="store_true", help="also look at the servers and their tables")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    _add_vschema(parser)
    parser.add_argument("--keyspace", metavar="KS", help="the keyspace in use, as after USE KS")
    parser.add_argument("sql", metavar="SQL", help="one statement, in quotes")


def _add_hash(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--caching-sha2", action="store_true", help="for caching_sha2_hash: instead of password_hash:"
    )


def _listen(text: str) -> Listen:
    try:
        return config.parse_listen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")
    return int(text)


def _config_path(given: Path | None) -> Path | None:
    """The file that was named, or ``vgate.yaml`` where it exists."""
    default = Path("vgate.yaml")
    return given if given is not None else default if default.exists() else None


# -- the commands -------------------------------------------------------------------------------------------------


def serve(options: argparse.Namespace) -> int:
    """``vgate serve``."""
    from vgate import app

    return app.serve(
        ServeOptions(
            vschema=options.vschema, config=_config_path(options.config), listen=options.listen,
            unix_socket=options.unix_socket, workers=options.workers,
        )
    )


def local(options: argparse.Namespace) -> int:
    """``vgate local``."""
    from vgate import app

    return app.local(
        LocalOptions(
            vschema=options.vschema, schema=options.schema, data=options.data, listen=options.listen,
            unix_socket=options.unix_socket, mysqld=options.mysqld, reset=options.reset, workers=options.workers,
        )
    )


def explain(options: argparse.Namespace) -> int:
    """``vgate explain``."""
    from vgate import app

    return app.explain(ExplainOptions(vschema=options.vschema, sql=options.sql, keyspace=options.keyspace))


def check(options: argparse.Namespace) -> int:
    """``vgate check``: the files here, the servers by ``app``."""
    wanted = CheckOptions(options.vschema, _config_path(options.config), options.live)
    vschema, configuration, faults = check_files(wanted, os.environ)
    if faults or vschema is None:
        print(f"{faults} fault{'s' if faults != 1 else ''}", file=sys.stderr)
        return FAULT
    print(f"{wanted.vschema}: {_summary(vschema)}")
    if not wanted.live:
        return DONE
    from vgate import app

    return app.check_live(wanted, vschema, configuration)


def check_files(options: CheckOptions, environ: Mapping[str, str]) -> tuple[VSchema | None, Config, int]:
    """Print what is wrong with the files. Returns what they say, and the number of faults."""
    examined = examine_file(options.vschema, environ=environ)
    _print_problems(examined.faults, examined.warnings)
    faults = len(examined.faults)
    configuration = Config()
    if options.config is not None:
        read = config.examine_config_file(options.config, environ=environ)
        unknown: tuple[Problem, ...] = ()
        if read.config is not None:
            configuration = read.config
            unknown = config.check_users(configuration, examined.vschema.keyspaces) if examined.vschema else ()
        _print_problems((*read.faults, *unknown), read.warnings)
        faults += len(read.faults) + len(unknown)
    return examined.vschema, configuration, faults


def _print_problems(faults: Iterable[Problem], warnings: Iterable[Problem]) -> None:
    """In the order of the file; a warning says that it is one."""
    marked = [(problem, "") for problem in faults] + [(problem, "warning: ") for problem in warnings]
    for problem, mark in sorted(marked, key=lambda each: each[0].line):
        print(f"{problem.file}:{problem.line}: {mark}{problem.text}")


def _summary(vschema: VSchema) -> str:
    keyspaces = vschema.keyspaces.values()
    counts = {
        "keyspace": len(keyspaces),
        "shard": sum(len(keyspace.shards) for keyspace in keyspaces),
        "table": sum(len(keyspace.tables) for keyspace in keyspaces),
    }
    return "no faults in " + ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items())


def hash_password(options: argparse.Namespace) -> int:
    """``vgate hash-password``."""
    password = _read_password()
    if password is None:
        return FAULT
    if not password:
        return _fail('an empty password has no hash; write password: "" if you must')
    if options.caching_sha2:
        print(config.sha2_digest(password).hex())
    else:
        print(config.native_hash(password))
    return DONE


def _read_password() -> str | None:
    """From the terminal, asked for twice, or one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        _fail("the passwords differ")
        return None
    return password


if __name__ == "__main__":
    sys.exit(main())
