"""A location's ``registry``: which host, below which path, and whether it is one of AWS's (ECR)."""

from dataclasses import dataclass
from typing import Any

from dregsy.cloud.ecr import PUBLIC_HOSTS, EcrHost
from dregsy.config.fields import LOCATION, problem, read_text
from dregsy.model.ref import HUB_API_NAME, HUB_NAMES, Ref


@dataclass(frozen=True, slots=True)
class Address:
    """The host of a registry with its port, and the path below which its repositories live."""

    host: str
    prefix: str = ""

    @property
    def is_ecr(self) -> bool:
        """Whether AWS runs it, so that its logins are tokens to be renewed."""
        return EcrHost.parse(self.host) is not None

    @property
    def is_public_ecr(self) -> bool:
        """Whether it is AWS's registry for everybody, which knows less of repositories."""
        return self.host in PUBLIC_HOSTS

    @property
    def is_docker_hub(self) -> bool:
        """Whether it is Docker Hub, which lists no catalog."""
        return self.host in HUB_NAMES | {HUB_API_NAME}


def read_address(value: Any) -> Address:
    """Read ``host[:port][/path]``, or ``account:region@public.ecr.aws``; says what else was written."""
    text = read_text(value).strip()
    if not text:
        raise problem(LOCATION, "registry not set", "write 'registry: HOST[:PORT]'")
    if "://" in text:
        raise problem(LOCATION, "registry has a scheme", "write HOST[:PORT] only; without 'https://'")
    account, at, rest = text.rpartition("@")
    host, _, path = rest.partition("/")
    if at and (host not in PUBLIC_HOSTS or account.count(":") != 1):
        raise problem(LOCATION, "registry holds a login", "put it in 'auth', and write HOST[:PORT] only")
    address = Address(host, path.strip("/"))
    try:
        Ref.of(address.host, address.prefix or "any/name")
    except ValueError:
        raise problem(LOCATION, "registry is no legal host", "write HOST[:PORT], or HOST[:PORT]/path") from None
    return address
