"""The one file that knows every concrete class: builds a running vgate from its options, and the offline commands.

It does not know how options are parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import uvloop

from vgate.backend.cluster import Cluster, PoolLimits
from vgate.backend.inspect import inspect
from vgate.backend.promises import Severity
from vgate.backend.schema import assumed
from vgate.config import (
    BackendTls,
    CheckOptions,
    Config,
    ExplainOptions,
    Limits,
    Listen,
    LocalOptions,
    ServeOptions,
    TlsMode,
    User,
    check_users,
    load_config,
    require_users,
)
from vgate.engine.gather import GatherLimits
from vgate.errors import ConfigError
from vgate.frontend.listener import Listener, bind, bind_unix
from vgate.local.cluster import LocalCluster
from vgate.planner.build import plan, syntax_error
from vgate.planner.catalog import NeedTables
from vgate.planner.columns import TableInfo
from vgate.planner.explain import explain as plan_text
from vgate.planner.plan import Planned, Refuse
from vgate.query.cache import PlanCache
from vgate.query.clients import WORDS, Clients
from vgate.query.gate import Gate
from vgate.query.living import LivingVSchema
from vgate.query.siblings import Post, Siblings, posts
from vgate.sequences.catalog import ClusterCatalog
from vgate.sequences.every import EverySequence
from vgate.sequences.kinds import Sequences
from vgate.sequences.store import ClusterStore
from vgate.sequences.vitess import VitessSequences
from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for
from vgate.sql.statements import recognise
from vgate.sql.versioned import Flavour, expand
from vgate.vschema.file import Stamp, VSchemaFile
from vgate.vschema.load import load_vschema
from vgate.vschema.model import TableName, VSchema

log = logging.getLogger("vgate")

REAP_EVERY = 30.0
CLEAN = 5.0
"""Seconds that servers have, at the end, to answer what cleans up after clients."""
LOOK_EVERY = 1.0
"""Seconds between looks at who takes too long, unless they must be shorter."""


# -- serving ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    """Everything one worker needs: it can be sent to another process."""

    vschema: VSchema
    config: Config
    config_path: Path | None = None
    vschema_path: Path | None = None
    vschema_stamp: Stamp | None = None
    post: Post | None = None


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[tuple[Gate, Listener]]:
    """A vgate without an address yet; its parts are closed in the right order at the end."""
    config, loop = service.config, asyncio.get_running_loop()
    pools = config.pools
    limits = PoolLimits(pools.max_connections, pools.wait, pools.idle, pools.connect)
    cluster = Cluster(service.vschema, limits, loop.time, _backend_tls(config.backend_tls))
    try:
        for warning in await cluster.start():
            log.warning("%s", warning)
        async with asyncio.TaskGroup() as owner:
            reaper = owner.create_task(_reap(cluster))
            own = Sequences(ClusterCatalog(cluster), owner, loop.time, lambda: time.time_ns() // 1_000_000)
            sequences = EverySequence(own, VitessSequences(ClusterStore(cluster), owner, loop.time))
            siblings, plans = Siblings(service.post, owner), PlanCache()
            living = LivingVSchema(cluster, plans, siblings, _file(service), service.vschema_stamp)
            watcher = owner.create_task(living.watch())
            gate = Gate(
                cluster, sequences, plans, living, max_allowed_packet=config.limits.max_allowed_packet,
                max_insert_rows=config.limits.max_insert_rows,
                gather=GatherLimits(config.limits.max_gather_rows, config.limits.max_gather_bytes),
            )  # fmt: skip
            clients = Clients(gate, siblings)
            siblings.listen(lambda what, name: (clients if what in WORDS else living).heard(what, name))
            listener = Listener(gate, config, cluster.facts_for(None))
            overseer = owner.create_task(_oversee(listener, config.limits))
            try:
                yield gate, listener
            finally:
                await listener.drain(config.limits.drain_timeout)
                hung = loop.call_later(min(CLEAN, config.limits.drain_timeout), cluster.cut)
                await gate.settled()
                reaper.cancel()
                watcher.cancel()
                overseer.cancel()
                siblings.close()
        hung.cancel()
    finally:
        cluster.close()


def _file(service: Service) -> VSchemaFile | None:
    return None if service.vschema_path is None else VSchemaFile(service.vschema_path, os.environ)


async def _oversee(listener: Listener, limits: Limits) -> None:
    shortest = min(limits.idle_timeout, limits.query_timeout or LOOK_EVERY)
    while True:
        await asyncio.sleep(min(LOOK_EVERY, shortest / 4))
        listener.oversee(limits.idle_timeout, limits.query_timeout)


async def _reap(cluster: Cluster) -> None:
    while True:
        await asyncio.sleep(REAP_EVERY)
        cluster.reap()


def _backend_tls(tls: BackendTls) -> ssl.SSLContext | None:
    if tls.mode is TlsMode.DISABLED:
        return None
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca is not None else None)
    context.check_hostname = tls.mode is TlsMode.VERIFY_IDENTITY
    if tls.mode is TlsMode.REQUIRED:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None and tls.key is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context


async def _serve_until_told(service: Service, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> None:
    """One worker, from its first to its last client: SIGTERM and SIGINT end it, SIGHUP rereads users and VSchema."""
    loop = asyncio.get_running_loop()
    told = _told()
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker does not outlive who started it, whatever ended that
        loop.add_reader(parent.sentinel, told.set)
    async with running(service) as (gate, listener):
        loop.add_signal_handler(signal.SIGHUP, _reload, service, gate, listener)
        for each in sockets:
            await listener.listen_on(each)
        ready()
        await told.wait()


def _reload(service: Service, gate: Gate, listener: Listener) -> None:
    gate.living.look()
    if service.config_path is None:
        return
    try:
        config = load_config(service.config_path, environ=os.environ)
        require_users(config)
    except ConfigError as error:
        log.error("the configuration was not taken up: %s", error)
        return
    listener.replace_users(config.users)
    log.info("%s: %d users", service.config_path, len(config.users))


def _bound(config: Config) -> tuple[list[socket.socket], Listen]:
    """The listening sockets, and the address that was chosen."""
    tcp = bind(config.listen.host, config.listen.port)
    sockets = [tcp]
    if config.unix_socket is not None:
        sockets.append(bind_unix(config.unix_socket))
    host, port = tcp.getsockname()[:2]
    return sockets, Listen(host, port)


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def _worker(service: Service, sockets: Sequence[socket.socket], report: Connection) -> None:
    """The whole life of one worker process; ``report`` hears "" when it is ready, or why it is not."""
    _log_to_stderr()
    try:
        uvloop.run(_serve_until_told(service, sockets, lambda: report.send("")))
    except ConfigError as error:
        with contextlib.suppress(OSError):  # nobody may be left to hear it
            report.send(str(error))


def serve(options: ServeOptions) -> int:
    """``vgate serve``. Returns the exit code. Raises ConfigError."""
    stamp = VSchemaFile(options.vschema, os.environ).stamp()
    vschema = load_vschema(options.vschema, environ=os.environ)
    config = Config() if options.config is None else load_config(options.config, environ=os.environ)
    require_users(config)
    unknown = check_users(config, vschema.keyspaces)
    if unknown:
        raise ConfigError("; ".join(problem.text for problem in unknown))
    config = _overridden(config, options.listen, options.unix_socket)
    _log_to_stderr()
    service = Service(vschema, config, options.config, options.vschema.absolute(), stamp)
    if options.workers > 1:
        return asyncio.run(_serve_with_workers(service, options.workers))
    sockets, address = _bound(config)
    try:
        uvloop.run(_serve_until_told(service, sockets, lambda: _say_ready(address)))
    finally:
        _unlink(config)
    return 0


def _say_ready(address: Listen, more: str = "") -> None:
    print(f"vgate is ready on {address}{more}", flush=True)


def _unlink(config: Config) -> None:
    if config.unix_socket is not None:
        config.unix_socket.unlink(missing_ok=True)


async def _serve_with_workers(service: Service, workers: int) -> int:
    return await _front(service, workers, _told(), lambda address: "")


def _told() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def _overridden(config: Config, listen: Listen | None, unix_socket: Path | None) -> Config:
    """The command line's addresses before those of the file."""
    return replace(config, listen=listen or config.listen, unix_socket=unix_socket or config.unix_socket)


def local(options: LocalOptions) -> int:
    """``vgate local``: private servers, and a vgate in front of them for this machine's users alone. Raises
    ConfigError.
    """
    listen = options.listen or Listen()
    if not _is_loopback(listen.host):
        raise ConfigError(
            f"vgate local lets root in without a password, so it listens on loopback alone, not on {listen.host}; "
            "use `vgate serve` with users for other addresses"
        )
    stamp = VSchemaFile(options.vschema, os.environ).stamp()
    vschema = load_vschema(options.vschema, environ=os.environ)
    config = Config(listen=listen, unix_socket=options.unix_socket, users=(User("root", b"", b""),))
    _log_to_stderr()
    service = Service(vschema, config, None, options.vschema.absolute(), stamp)
    return asyncio.run(_local(options, service))


async def _local(options: LocalOptions, service: Service) -> int:
    """The servers live in this process's loop, vgate in a process of its own (or several): neither slows the other."""
    told = _told()
    servers = LocalCluster(
        service.vschema, data=options.data, schema=options.schema, mysqld=options.mysqld, reset=options.reset,
        log=lambda line: print(line, flush=True),
    )  # fmt: skip
    starting = asyncio.ensure_future(servers.__aenter__())
    waiting = asyncio.ensure_future(told.wait())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return 0
    addressed = await starting
    try:
        waiting.cancel()
        return await _front(replace(service, vschema=addressed), options.workers, told, _command)
    finally:
        await servers.__aexit__(None, None, None)


def _command(address: Listen) -> str:
    return f". Connect with:  mysql -h{address.host} -P{address.port} -uroot"


async def _front(service: Service, workers: int, told: asyncio.Event, more: Callable[[Listen], str]) -> int:
    """vgate in child processes on the same sockets, which end together; the exit code is 1 if one ends unasked."""
    context = multiprocessing.get_context("spawn")
    sockets, address = _bound(service.config)
    receive, send = context.Pipe(duplex=False)
    processes = [
        context.Process(target=_worker, args=(replace(service, post=post), sockets, send)) for post in posts(workers)
    ]
    loop = asyncio.get_running_loop()
    try:
        for process in processes:
            process.start()
        send.close()
        for _ in processes:
            problem = await asyncio.to_thread(_heard, receive)
            if problem:
                raise ConfigError(problem)
        _say_ready(address, more(address))
        for process in processes:
            loop.add_reader(process.sentinel, told.set)
        loop.add_signal_handler(signal.SIGHUP, _hang_up, processes)
        await told.wait()
        return 0 if all(process.is_alive() for process in processes) else 1
    finally:
        for process in processes:
            if process.pid is not None:
                loop.remove_reader(process.sentinel)
                process.terminate()
        for process in processes:
            if process.pid is not None:
                await asyncio.to_thread(process.join)
        _unlink(service.config)


def _hang_up(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        if process.pid is not None:
            os.kill(process.pid, signal.SIGHUP)


def _heard(receive: Connection) -> str:
    try:
        problem: str = receive.recv()
    except EOFError:
        return "vgate ended before it was ready"
    return problem


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -- looking ------------------------------------------------------------------------------------------------------


def check_live(options: CheckOptions, vschema: VSchema, config: Config) -> int:
    """``vgate check --live``: what the servers make of the VSchema. The exit code is 1 if there is a fault."""
    faults = asyncio.run(_check_live(vschema, config))
    print(f"{faults} fault{'s' if faults != 1 else ''} on the servers", file=sys.stderr)
    return 1 if faults else 0


async def _check_live(vschema: VSchema, config: Config) -> int:
    pools = config.pools
    limits = PoolLimits(pools.max_connections, pools.wait, pools.idle, pools.connect)
    cluster = Cluster(vschema, limits, asyncio.get_running_loop().time, _backend_tls(config.backend_tls))
    try:
        findings = await inspect(vschema, cluster.ask_for)
    finally:
        cluster.close()
    for finding in findings:
        print(finding)
    return sum(finding.severity is Severity.FAULT for finding in findings)


@dataclass(frozen=True, slots=True)
class _Offline:
    """A catalog without servers: tables are what the VSchema says of them."""

    vschema: VSchema

    def table(self, name: TableName) -> TableInfo | None:
        return assumed(self.vschema.keyspace(name.keyspace).tables[name.table])


def explain(options: ExplainOptions) -> int:
    """``vgate explain``: prints the plan. The exit code is 1 for a statement that is refused."""
    vschema = load_vschema(options.vschema, environ=os.environ)
    if options.keyspace is not None:
        vschema.keyspace(options.keyspace)
    mode, text = LexMode(), options.sql.encode()
    try:
        try:
            shape, slots = lexer_for(mode).split(text)
        except VersionedComment:
            text = expand(text, mode, Flavour.MYSQL, (9, 0, 0))
            shape, slots = lexer_for(mode).split(text)
        own = recognise(text, mode)
        if own is not None:
            print(f"answered by the session: {type(own).__name__}")
            return 0
        planned = plan(text, shape, mode, options.keyspace, _Offline(vschema))
    except LexError as error:
        raise syntax_error(text, error.offset, error.reason) from None
    assert not isinstance(planned, NeedTables)
    print(plan_text(planned, slots))
    return 1 if isinstance(planned, Planned) and isinstance(planned.plan, Refuse) else 0
