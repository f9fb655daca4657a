"""Whether a port of the host is the host's: containers' published ports are rules that lead elsewhere."""

import socket

_TIMEOUT_S = 2


def leads_here(port: int) -> bool:
    """Return whether who connects to a loopback port reaches what listens on it; False too when it is taken."""
    try:
        with socket.create_server(("127.0.0.1", port)) as listening:
            listening.settimeout(_TIMEOUT_S)
            with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S), listening.accept()[0]:
                return True
    except OSError:
        return False
