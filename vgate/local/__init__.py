"""Private MariaDB or MySQL servers on this machine: the embedded default of ``vgate local``, and the tests' servers."""
