"""Which process listens on a port."""

import psutil


def describe_listener(port: int) -> str:
    """Return " by NAME (pid N)" for the process that listens on a loopback port, or "" when that can't be told."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr[1] == port
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""
