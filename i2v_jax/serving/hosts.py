"""Under which names a server may be reached, and from whose pages."""

import dataclasses
import re
from collections.abc import Collection, Iterable

from i2v_jax.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERY = "*"
_NETLOC = re.compile(r"(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}  # which browsers leave out


@dataclasses.dataclass(frozen=True)
class Place:
    """A name, and a port if only that one is meant."""

    name: str
    port: int | None = None

    def matches(self, other: "Place") -> bool:
        """Returns whether this, a rule, covers a place that a request names; without a port it may be 80 or 443."""
        if self.name != other.name:
            return False
        return self.port is None or (self.port in _PORTS.values() if other.port is None else self.port == other.port)


@dataclasses.dataclass(frozen=True)
class Hosts:
    """What requests may say about where they are from and where they go.

    Browsers send the site of the page that makes a request (`Origin`); programs do not. It has to be the server itself
    (`Host`), or a name that was allowed, since a proxy may put its own `Host` in place of the visitor's. `Host` is
    checked, too, because a page can have the address of this server assigned to its own name (DNS rebinding).
    """

    names: frozenset[str] | None = None  # of the server itself, with any port; None: every name
    allowed: tuple[Place, ...] = ()

    @classmethod
    def of(cls, host: str, allow: Iterable[str] = ()) -> "Hosts":
        """Returns the rules of a server that listens at the address `host`.

        Every name is accepted with `*`, and, if nothing is allowed, by a server that others can reach.

        Raises:
            UserError: one of `allow` is not NAME, NAME:PORT or `*`.
        """
        texts = list(allow)
        places = tuple(map(_allowed, (text for text in texts if text != EVERY)))
        open_to_all = EVERY in texts or (not texts and host not in LOOPBACK)
        return cls(None if open_to_all else LOOPBACK | {host}, places)

    def refusal(self, host: str, origin: str | None) -> str:
        """Returns why a request with these headers is refused, and what would let it in; nothing if it may pass."""
        here = _place(host)
        if self.names is not None and not (here and (here.name in self.names or _any(self.allowed, here))):
            return f"this server does not answer as {_shown(host)}: {_remedy(host)}"
        if origin is None:
            return ""
        scheme, _, netloc = origin.partition("://")
        there = _place(netloc)
        if there and (_any(self.allowed, there) or (here and _full(here, scheme) == _full(there, scheme))):
            return ""
        return f"pages of {_shown(origin)} may not use this server: {_remedy(netloc)}"


EVERYWHERE = Hosts()  # any name


def _any(rules: Collection[Place], place: Place) -> bool:
    return any(rule.matches(place) for rule in rules)


def _full(place: Place, scheme: str) -> Place:
    """Returns a place with the port that a browser uses for it."""
    return Place(place.name, place.port or _PORTS.get(scheme))


def _place(netloc: str) -> Place | None:
    """Returns NAME or NAME:PORT of a header, None for anything else."""
    found = _NETLOC.fullmatch(netloc)
    return found and Place(found[1].strip("[]").lower(), int(found[2]) if found[2] else None)


def _allowed(text: str) -> Place:
    place = _place(text)
    if place is None:
        raise UserError(
            f"--allow_host={text} is not a name: give NAME, NAME:PORT or {EVERY}, without https://", "allow_host", text
        )
    return place


def _remedy(netloc: str) -> str:
    """Returns what to do to be let in under a name, which may be anything that a client sent."""
    name = netloc if _place(netloc) and len(netloc) <= 80 else "NAME"
    return f"if that is its address, restart it with --allow_host={name}"


def _shown(text: str) -> str:
    return repr(text[:80])
