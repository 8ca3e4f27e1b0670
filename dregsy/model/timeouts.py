"""How long requests to registries wait for what may never come."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 20.0
    """For a connection: name, address, proxy and TLS."""
    greeting: float = 20.0
    """For a registry's first answer."""
    first: float = 60.0
    """For an answer to begin, once all of the request was sent."""
    read: float = 60.0
    """For the next bytes of an answer."""
    trickle: int = 2**16
    """The bytes of a blob that have to come while ``read`` seconds are spent waiting for them."""
    stall: float = 60.0
    """For room to send more."""
    commit: float = 300.0
    """For the answer to an upload: registries hash and store the whole blob before they answer."""
    whole: float = 300.0
    """For all of an answer that is kept in memory, so that one that drips in has an end."""
    listing: float = 3600.0
    """For a list of tags or of repositories, with all its pages."""
    down: float = 10.0
    """For how long a registry that was not reached is taken to be down, without asking it again."""
