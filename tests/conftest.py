"""What every test can use: the fixtures are plug-ins, one for each thing that has to be started.

This file knows only their names, and that Hypothesis is to have no opinion of how long an example takes: that says more
of the machine than of the code.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

pytest_plugins = ["tests.fix_servers", "tests.fix_vgate", "tests.fix_oracle", "tests.fix_tls", "tests.fix_accept",
                  "tests.fix_parts"]  # fmt: skip
