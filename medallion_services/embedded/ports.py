"""Ports: is one free, and if not, who holds it."""

import socket
from dataclasses import dataclass

import psutil

from medallion_services.errors import UserError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A loopback port that a component needs, and the variable that moves it elsewhere."""

    port: int
    variable: str


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts(port: int, timeout: float = 0.5) -> bool:
    """Whether something listens on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False


def holder(port: int) -> str:
    """The process that listens on a port, for a message; empty when the system does not tell."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
    except psutil.Error:
        pass
    return ""


def require_free(component: str, claims: tuple[PortClaim, ...]) -> None:
    """Check that a component can have its ports.

    Raises:
        UserError: one is taken; the message names the port, who holds it and the variable to change.
    """
    for claim in claims:
        if not is_free(claim.port):
            by = holder(claim.port)
            raise UserError(
                f"port {claim.port}, which {component} needs, is in use{f' by {by}' if by else ''}. "
                f"Stop that program, or choose another port: {claim.variable}=<port> medallion up"
            )


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free now, all different (for tests and trials)."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()
