"""AWS's registries (ECR, private and public) as AWS itself tells of them: tokens to log in with, and lists."""

import base64
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from dregsy.cloud.aws import Place, ask, asking, client
from dregsy.errors import CredentialsError
from dregsy.model import pattern
from dregsy.model.ages import Listed
from dregsy.model.aws import AwsIdentity
from dregsy.model.endpoint import Login, Secret

PUBLIC_HOSTS = frozenset({"public.ecr.aws", "ecr-public.aws.com"})

_PRIVATE = pattern.compile_search(
    r"([^.]+)\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\."
    r"(?:amazonaws\.(?:com|com\.cn|eu)|(on)\.(?:aws|amazonwebservices\.com\.cn)"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
_PUBLIC_REGION = "us-east-1"
"""The one region that answers questions about public registries."""

_EARLY = 0.1
"""A token is fetched anew when this part of its life is left, so that there is time for AWS to be out of reach."""


@dataclass(frozen=True, slots=True)
class EcrHost:
    """What the host of a registry of AWS says: whose it is and where; a public one has no ``account``."""

    host: str
    region: str
    account: str = ""
    fips: bool = False
    dualstack: bool = False

    @classmethod
    def parse(cls, host: str) -> "EcrHost | None":
        """Read a host name; None for one that is not AWS's."""
        if host in PUBLIC_HOSTS:
            return cls(host, _PUBLIC_REGION)
        match = _PRIVATE.fullmatch(host)
        if match is None:
            return None
        account, region = match.group(1) or "", match.group(3) or ""
        return cls(host, region, account, fips=bool(match.group(2)), dualstack=bool(match.group(4)))

    @property
    def service(self) -> str:
        """What AWS calls the service that knows the registry."""
        return "ecr" if self.account else "ecr-public"

    @property
    def place(self) -> Place:
        """Where AWS is asked about the registry."""
        return Place(self.host, self.region, self.fips, self.dualstack)

    @property
    def owner(self) -> dict[str, str]:
        """What questions name the registry by."""
        return {"registryId": self.account} if self.account else {}

    def repository(self, path: str) -> str:
        """Return what AWS calls the repository of that name at the host: without a public registry's alias."""
        return path if self.account else path.partition("/")[2]


async def token(
    ecr: EcrHost, identity: AwsIdentity, now: Callable[[], float] = time.time
) -> tuple[Login, float, float]:
    """Fetch a login; return also in how many seconds to fetch the next one, and for how many it is really good.

    Raises CredentialsError without a usable login of AWS, else Unauthorized or another RegistryError.
    """
    data = await ask(ecr.place, partial(_authorization, ecr, identity))
    try:
        user, colon, password = base64.b64decode(data["authorizationToken"], validate=True).decode().partition(":")
        good = data["expiresAt"].timestamp() - now()
    except (KeyError, ValueError):
        colon = ""
    if not colon:
        raise CredentialsError(f"AWS gave a token for {ecr.host} that is none", host=ecr.host, hint="try again")
    return Login(user, Secret(password)), good * (1 - _EARLY), good


def _authorization(ecr: EcrHost, identity: AwsIdentity) -> dict[str, Any]:
    with asking(ecr.place):
        found = client(ecr.place, ecr.service, identity).get_authorization_token()["authorizationData"]
    data: dict[str, Any] = found[0] if isinstance(found, list) else found
    return data


async def repositories(ecr: EcrHost, identity: AwsIdentity) -> AsyncGenerator[list[str], None]:
    """Give the names of all repositories, page by page.

    Raises CredentialsError without a usable login, else Unauthorized or another RegistryError.
    """
    async for page in _pages(ecr, identity, "describe_repositories", {}):
        yield [str(one["repositoryUri"]).partition("/")[2] for one in page.get("repositories", ())]


async def tags(ecr: EcrHost, repository: str, identity: AwsIdentity) -> AsyncGenerator[dict[str, Listed], None]:
    """Give the tags of a repository of a private registry, page by page; raises as above."""
    query = {"repositoryName": repository, "filter": {"tagStatus": "TAGGED"}}
    async for page in _pages(ecr, identity, "describe_images", query):
        images = page.get("imageDetails", ())
        said = [(one, Listed(str(one["imageDigest"]), one.get("imagePushedAt"))) for one in images]
        yield {str(tag): listed for one, listed in said for tag in one.get("imageTags", ())}


async def _pages(
    ecr: EcrHost, identity: AwsIdentity, operation: str, query: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    pages = await ask(ecr.place, partial(_asked, ecr, identity, operation, {**query, **ecr.owner}))
    while (page := await ask(ecr.place, partial(_next, ecr, pages))) is not None:
        yield page


def _asked(ecr: EcrHost, identity: AwsIdentity, operation: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    pages = client(ecr.place, ecr.service, identity).get_paginator(operation)
    return iter(pages.paginate(**query, PaginationConfig={"PageSize": 1000}))


def _next(ecr: EcrHost, pages: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    with asking(ecr.place):
        return next(pages, None)
