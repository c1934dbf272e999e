"""TCP ports: which are free, and who is in the way."""

import random
import socket
from collections.abc import Mapping

import psutil

from app.embedded.errors import PlatformError

FREE_PORTS = range(20_000, 32_000)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, below the range the kernel gives to outgoing connections: one of those could take
    it before the server that it is meant for does."""
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if is_free(host, port):
            return port
    raise PlatformError(f"no free port between {FREE_PORTS[0]} and {FREE_PORTS[-1]}")


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of an earlier run that are still winding down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


def require_free(wanted: Mapping[str, tuple[str, int]]) -> None:
    """Check addresses by the setting that moves each. Raises PlatformError that names the first one in the way."""
    seen: dict[int, str] = {}
    for setting, (host, port) in wanted.items():
        if port in seen:
            raise PlatformError(f"{seen[port]} and {setting} are both {port}: set {setting} to another port")
        seen[port] = setting
        if not is_free(host, port):
            raise PlatformError(f"port {port} on {host} is busy{_owner(port)}: set {setting} to a free port")


def _owner(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""  # other users' sockets are theirs to see
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                return ""
            try:
                return f" (process {connection.pid}, {psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return ""
    return ""
