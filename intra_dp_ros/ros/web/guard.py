"""Who may see the page and change strategies through it.

A browser on the same machine also shows web sites of strangers.  They must not reach the page through that browser:
neither by a connection from their own page (its Origin is theirs) nor under a name of theirs that suddenly means this
machine (DNS rebinding: the Host is theirs).  Nor may they show the page in a frame and steer clicks into it.
"""
import ipaddress
import socket
from typing import Dict, FrozenSet, Optional
from urllib.parse import urlsplit


class Guard:
    """Judges requests.

    Args:
        address: that is listened on, or a name of it.
    """

    def __init__(self, address: str) -> None:
        self.is_loopback = _is_loopback(address)
        own = {address.lower(), "localhost"}
        if not self.is_loopback:
            name = socket.gethostname().lower()
            own |= {name, name + ".local", socket.getfqdn().lower()}
        self._own: FrozenSet[str] = frozenset(own - {""})

    def host(self, header: Optional[str]) -> str:
        """The Host header as host or host:port, if it means this machine; else empty.

        Numbers cannot be given another meaning by somebody else's name server, so that any address will do where any
        is listened on.
        """
        try:
            parts = urlsplit("//" + (header or ""))
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return ""
        if name in self._own:
            shown = name
        else:
            try:
                number = ipaddress.ip_address(name)
            except ValueError:
                return ""
            if self.is_loopback and not number.is_loopback:
                return ""
            shown = "[{}]".format(number) if number.version == 6 else str(number)
        return shown if port is None else "{}:{}".format(shown, port)

    def origin(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may connect: only the one that came from `host`, a result of `self.host`."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme == "http" and bool(host) and self.host(parts.netloc) == host


def headers(host: str) -> Dict[str, str]:
    """Headers of every answer; `host`: a result of `Guard.host`."""
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self' ws://{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".format(host),
        "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"
