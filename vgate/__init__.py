"""vgate: a MySQL wire-protocol proxy that makes many MySQL or MariaDB servers look like one."""
