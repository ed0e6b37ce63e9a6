"""What every test can use: the fixtures are plug-ins, one for each thing that has to be started.

This file knows only their names.
"""

from __future__ import annotations

pytest_plugins = ["tests.fix_servers", "tests.fix_vgate", "tests.fix_oracle", "tests.fix_accept"]
