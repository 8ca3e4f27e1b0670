"""Where dregsy itself may be asked how it does: an address of this machine and a port."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

from dregsy.model.endpoint import Secret

LOOPBACK = "127.0.0.1"
_MOST = 65535
_SIGNS = frozenset(".-_")


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; port 0 stands for any that is free. ``token`` lets those who have it change things."""

    host: str
    port: int
    token: Secret | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT`` or ``:PORT``, which is for this machine alone; ValueError for anything else."""
        host, colon, digits = text.strip().rpartition(":")
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MOST))
        if not (colon and is_number and int(digits) <= _MOST):
            raise ValueError("has no port from 0 to 65535")
        if host.startswith("[") and host.endswith("]"):
            return cls(str(IPv6Address(host[1:-1])), int(digits))
        if not all(sign.isascii() and (sign.isalnum() or sign in _SIGNS) for sign in host):
            raise ValueError("has a host that is none")
        return cls(host or LOOPBACK, int(digits))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
