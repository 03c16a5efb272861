"""Where a server listens, and whether it may: told before anything is loaded."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from whichtune.errors import SettingError
from whichtune.wording import shown

SHORTEST_TOKEN = 8
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # as a Bearer token may be (RFC 6750)
NAMES_OF_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def check_token(token: str | None) -> None:
    """Raise SettingError for a token that a header cannot have, or that is soon guessed."""
    if token is None:
        return
    if len(token) < SHORTEST_TOKEN:
        raise SettingError(f"--token is too short to be a secret: give {SHORTEST_TOKEN} characters or more.")
    if not TOKEN.fullmatch(token):
        raise SettingError("--token has a character that no header takes: use letters, digits and . _ ~ + / = - alone.")


@dataclass(frozen=True)
class Address:
    """A bound socket. `hosts` are the names that requests may have, None for any."""

    socket: socket.socket
    url: str
    hosts: tuple[str, ...] | None


def open_address(host: str, port: int, token: str | None, no_token: bool) -> Address:
    """Bind a port of the host, so that nobody else takes it meanwhile.

    Raises SettingError for a host that is none, for one that others reach where neither a token nor `no_token` is
    given, and for a port that is taken.
    """
    check_token(token)
    if token is not None and no_token:
        raise SettingError("--token and --no-token contradict each other: leave one out.")
    try:
        found = socket.getaddrinfo(host or " ", port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise SettingError(f"--host {shown(host)} is no address: give 127.0.0.1, or one of this machine's.") from error
    family, _, _, _, place = found
    own = ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback
    if not own and token is None and not no_token:
        raise SettingError(
            f"--host {shown(host)} lets other machines ask: give --token, or --no-token where everybody may."
        )
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except OSError as error:
        bound.close()
        raise SettingError(_why(error, host, port)) from error
    name = f"[{host}]" if ":" in host else host
    hosts = tuple(dict.fromkeys((*NAMES_OF_THIS_MACHINE, name.lower()))) if own else None
    return Address(bound, f"http://{name}:{bound.getsockname()[1]}", hosts)


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {shown(host)} is taken: choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used without more rights: choose one above 1023 with --port."
    return f"--host {shown(host)} is no address of this machine ({error.strerror}): give 127.0.0.1, or one of its own."
