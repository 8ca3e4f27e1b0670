"""AWS's registries (ECR, private and public) as AWS itself tells of them; the only place that knows boto3's ECR.

Logins are those that AWS's own tools would use. boto3 blocks and is slow to import: it is loaded here on
first use, and works on threads.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from dregsy.errors import CredentialsError, DregsyError, NotFound, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model import pattern
from dregsy.model.ages import Listed

PUBLIC_HOSTS = frozenset({"public.ecr.aws", "ecr-public.aws.com"})

_PRIVATE = pattern.compile_search(
    r"([0-9]{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\."
    r"(?:amazonaws\.(?:com|com\.cn|eu)|on\.(?:aws|amazonwebservices\.com\.cn)"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
_PUBLIC_REGION = "us-east-1"
"""The one region that answers questions about public registries."""

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 30, 4
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException"})
_REFUSED_TOKENS = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken"})
_SLOWER = frozenset({"ThrottlingException", "TooManyRequestsException", "LimitExceededException"})
_MISSING = frozenset({"RepositoryNotFoundException", "RegistryNotFoundException"})


@dataclass(frozen=True, slots=True)
class EcrHost:
    """What the host of a registry of AWS says: whose it is and where; a public one has no ``account``."""

    host: str
    region: str
    account: str = ""
    fips: bool = False

    @classmethod
    def parse(cls, host: str) -> "EcrHost | None":
        """Read a host name; None for one that is not AWS's."""
        if host in PUBLIC_HOSTS:
            return cls(host, _PUBLIC_REGION)
        match = _PRIVATE.fullmatch(host)
        if match is None:
            return None
        return cls(host, match.group(3) or "", match.group(1) or "", fips=bool(match.group(2)))


async def repositories(ecr: EcrHost) -> AsyncGenerator[list[str], None]:
    """Give the names of all repositories, page by page.

    Raises CredentialsError without a usable login, else Unauthorized or another RegistryError.
    """
    async for page in _pages(ecr, "describe_repositories", {}):
        yield [str(one["repositoryUri"]).partition("/")[2] for one in page.get("repositories", ())]


async def tags(ecr: EcrHost, repository: str) -> AsyncGenerator[dict[str, Listed], None]:
    """Give the tags of a repository of a private registry, page by page; raises as above."""
    query = {"repositoryName": repository, "filter": {"tagStatus": "TAGGED"}}
    async for page in _pages(ecr, "describe_images", query):
        images = page.get("imageDetails", ())
        said = [(one, Listed(str(one["imageDigest"]), one.get("imagePushedAt"))) for one in images]
        yield {str(tag): listed for one, listed in said for tag in one.get("imageTags", ())}


async def _pages(ecr: EcrHost, operation: str, query: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    loop = asyncio.get_running_loop()
    if ecr.account:
        query = {**query, "registryId": ecr.account}
    pages = await loop.run_in_executor(None, _asked, ecr, operation, query)
    while (page := await loop.run_in_executor(None, _next, ecr, pages)) is not None:
        yield page


def _asked(ecr: EcrHost, operation: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make a client of its own: sessions must not be shared between threads."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        use_fips_endpoint=ecr.fips or None,
    )
    try:
        session = boto3.session.Session(region_name=ecr.region)
        client: Any = session.client("ecr" if ecr.account else "ecr-public", config=config)
    except BotoCoreError as error:
        raise _translated(ecr, error) from None
    return iter(client.get_paginator(operation).paginate(**query, PaginationConfig={"PageSize": 1000}))


def _next(ecr: EcrHost, pages: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return next(pages, None)
    except (BotoCoreError, ClientError) as error:
        raise _translated(ecr, error) from None


def _translated(ecr: EcrHost, error: Exception) -> DregsyError:
    """Say in this project's words what boto3 reports."""
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        said = error.response.get("Error", {})
        code = said.get("Code", "")
        text = f"AWS refuses to tell of {ecr.host}: {code} {said.get('Message', '')}".rstrip()
        if code in _REFUSED | _REFUSED_TOKENS:
            return Unauthorized(text, codes=[code], hint="check AWS's login for this account, and its rights for ECR")
        if code in _MISSING:
            return NotFound(text, status=404, codes=[code])
        if code in _SLOWER:
            return RateLimited(text, codes=[code], retryable=True)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return RegistryError(text, status=status, codes=[code], retryable=status >= 500)
    if isinstance(error, aws.HTTPClientError | aws.ConnectionError):
        return Unreachable(f"AWS cannot be reached for {ecr.host}: {type(error).__name__}", retryable=True)
    return CredentialsError(
        f"there is no login of AWS for {ecr.host}: {type(error).__name__}",
        host=ecr.host,
        hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
    )
