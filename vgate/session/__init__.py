"""One client's session: what it has set, aimed at and begun, as data and rules without sockets."""
