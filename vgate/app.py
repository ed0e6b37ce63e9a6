"""The one file that knows every concrete class: builds a running vgate from its options, and the offline commands.

It does not know how options are parsed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from vgate.backend.cluster import Cluster, PoolLimits
from vgate.backend.schema import assumed
from vgate.config import (
    CheckOptions,
    Config,
    ExplainOptions,
    Listen,
    LocalOptions,
    ServeOptions,
    User,
    check_users,
    load_config,
    require_users,
)
from vgate.errors import ConfigError
from vgate.local.cluster import LocalCluster
from vgate.query.cache import PlanCache
from vgate.query.gate import Gate
from vgate.sequences.vitess import VitessSequences
from vgate.vschema.load import load_vschema
from vgate.vschema.model import VSchema

log = logging.getLogger("vgate")

REAP_EVERY = 30.0
DRAIN = 10.0
