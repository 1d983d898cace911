"""The addresses of this machine, and how to tell them to the reader."""

import io
import ipaddress
import socket
import sys
from typing import Protocol

import psutil
import segno

from common.console import say


class Address(Protocol):
    """Where a server listens; what `common.options.parse_options` returns is one."""

    host: str | None
    port: int


def lan_addresses() -> list[str]:
    """Return the IPv4 addresses at which other devices reach this machine, the likeliest first.

    The likeliest is the one that the operating system would use to reach the world. Addresses of this
    machine alone (127.x.x.x) and those that a device gives itself for want of a network (169.254.x.x)
    are left out. Without a network the list is empty.
    """
    addresses = []
    state = psutil.net_if_stats()
    for interface, entries in psutil.net_if_addrs().items():
        if interface in state and not state[interface].isup:
            continue
        for entry in entries:
            if entry.family == socket.AF_INET:
                address = ipaddress.ip_address(entry.address)
                if not address.is_loopback and not address.is_link_local:
                    addresses.append(entry.address)
    likeliest = _address_of_default_route()
    return sorted(dict.fromkeys(addresses), key=lambda address: address != likeliest)


def _address_of_default_route() -> str | None:
    """Ask the routing table; connecting a UDP socket chooses a source address and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # an address kept for documentation, RFC 5737
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


def page_address(host: str | None, port: int) -> str:
    """Return what a browser has to open for the page of a server, on this machine if the host is None."""
    return f"http://{_bracketed(host or 'localhost')}:{port}/"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host  # as IPv6 addresses are written before a port


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def announce(options: Address, *, serves_page: bool = False) -> None:
    """Print where the server listens, and what to open or type here and on another device.

    Call it once connections are accepted.

    Args:
        options: where the server listens.
        serves_page: whether the server serves its page itself. Then the addresses are ones for the
            browser's address bar, and a QR code of the one for other devices follows.
    """
    if sys.stdout is None:
        return  # a Windows program without a console
    port = options.port
    here, others = options.host or "localhost", []
    if options.host is None:
        others = lan_addresses()
        lines = [f"Listening on port {port} of every network interface (Ctrl-C stops)"]
    else:
        if not here.startswith(("localhost", "127.", "::1")):
            others = [here]
        lines = [f"Listening on {here}, port {port} (Ctrl-C stops)"]

    def shown(host: str) -> str:
        if serves_page:
            return page_address(host, port)
        host = _bracketed(host)
        return host if port == 5678 else f"{host}:{port}"

    what = "open" if serves_page else "server address"
    lines.append(f"  On this device, {what}: {shown(here)}")
    for address in others:
        lines.append(f"  On other devices, {what}: {shown(address)}")
    if options.host is None and not others:
        lines.append("  This machine has no network now; other devices cannot connect")
    if serves_page and others and _can_print("▀▄█"):
        # Half blocks draw two modules a character; error correction "l" keeps the code small.
        code = io.StringIO()
        segno.make(shown(others[0]), error="l", micro=False).terminal(out=code, compact=True)
        lines.append(code.getvalue().removesuffix("\n"))
    say("\n".join(lines))
