"""How often an address may show a wrong key. Knows addresses and times only."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

FAILURES = 10  # wrong keys of an address within WINDOW_SECONDS before it must wait
WINDOW_SECONDS = 60.0
_ADDRESSES = 10_000  # beyond it the one that failed longest ago is forgotten


class Attempts:
    """Counts failures by address; an IPv6 client has a whole /64, so that counts as one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again, 0 when it may now."""
        times = self._recent(network(address))
        return 0.0 if len(times) < FAILURES else max(0.0, times[-FAILURES] + WINDOW_SECONDS - self._clock())

    def failed(self, address: str) -> float:
        """Note a failure; returns the wait when there were too many before it, else 0."""
        wait = self.wait(address)
        if wait:
            return wait
        name = network(address)
        self._failures.setdefault(name, []).append(self._clock())
        self._failures.move_to_end(name)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        return 0.0

    def _recent(self, name: str) -> list[float]:
        oldest = self._clock() - WINDOW_SECONDS
        times = [at for at in self._failures.get(name, ()) if at > oldest]
        if name in self._failures:
            self._failures[name] = times
        if not times:
            self._failures.pop(name, None)
        return times


def network(address: str) -> str:
    """The address, or the /64 of an IPv6 one; what is no address stays as it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
