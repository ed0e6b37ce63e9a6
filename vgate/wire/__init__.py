"""The MySQL protocol as bytes: framing, capabilities, OK, ERR and EOF packets, rows, and where a response ends."""
