"""How AWS is asked, for whichever of its services: as whom, within which limits, and what its refusals mean.

boto3 blocks and is slow to import: it is loaded on first use, and used on threads only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from dregsy.cloud.threads import on_thread
from dregsy.errors import CredentialsError, DregsyError, NotFound, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model.aws import AwsIdentity

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 30, 4
_DEADLINE = 60.0
"""Seconds for one question, with the search for a login before it, and all attempts."""
_SESSION_NAME = "dregsy"
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException"})
_REFUSED_TOKENS = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken"})
_SLOWER = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "LimitExceededException"})
_MISSING = frozenset({"RepositoryNotFoundException", "RegistryNotFoundException"})

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """Where AWS is asked, and about which registry (``host``); ``fips`` and ``dualstack`` choose its end points."""

    host: str
    region: str
    fips: bool = False
    dualstack: bool = False


def client(place: Place, service: str, identity: AwsIdentity) -> Any:
    """Return a client of one of AWS's services; it may be shared between threads. Raises as ``asking`` does."""
    import boto3

    with asking(place):
        session = boto3.session.Session(region_name=place.region, profile_name=identity.profile or None)
        try:
            if identity.role:
                session = _as_role(session, place, identity.role)
            return _client(session, place, service)
        except ValueError as error:
            hint = "check AWS_ENDPOINT_URL, and AWS's config files"
            raise RegistryError(f"AWS cannot be asked for {place.host}: {error}", hint=hint) from None


def _client(session: Any, place: Place, service: str) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        use_fips_endpoint=place.fips or None,
        use_dualstack_endpoint=place.dualstack or None,
    )
    return session.client(service, config=config)


def _as_role(session: Any, place: Place, role: str) -> Any:
    """Take on a role; what comes of it is good for an hour."""
    import boto3

    given = _client(session, place, "sts").assume_role(RoleArn=role, RoleSessionName=_SESSION_NAME)["Credentials"]
    return boto3.session.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=place.region,
    )


@contextmanager
def asking(place: Place) -> Iterator[None]:
    """Say in this project's words what boto3 reports inside: CredentialsError, Unauthorized, other RegistryErrors."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _translated(place, error) from None
    except ResponseParserError:
        hint = "check proxies, and AWS_ENDPOINT_URL if it is set"
        text = f"what answers in the place of AWS for {place.host} is not AWS"
        raise RegistryError(text, retryable=True, hint=hint) from None


def _translated(place: Place, error: Exception) -> DregsyError:
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _refusal(place, error.response)
    if isinstance(error, aws.ParamValidationError):
        return RegistryError(f"AWS cannot be asked this for {place.host}: {' '.join(str(error).split())}")
    if isinstance(error, aws.SSLError):
        text = f"what answers in the place of AWS for {place.host} has a certificate that is not trusted (SSLError)"
        return Unreachable(text, hint="set AWS_CA_BUNDLE to the CA that signed it, and check what is on the way")
    if isinstance(error, aws.HTTPClientError | aws.ConnectionError):
        return Unreachable(
            f"AWS cannot be reached for {place.host}: {type(error).__name__}",
            retryable=True,
            hint="check the network, proxies, and AWS_ENDPOINT_URL if it is set",
        )
    return CredentialsError(
        f"there is no login of AWS for {place.host}: {type(error).__name__}",
        host=place.host,
        hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
    )


def _refusal(place: Place, response: Any) -> RegistryError:
    said = response.get("Error", {})
    code = said.get("Code", "")
    text = f"AWS refuses what is asked for {place.host}: {code} {said.get('Message', '')}".rstrip()
    if code in _REFUSED | _REFUSED_TOKENS:
        return Unauthorized(text, codes=[code], hint="check AWS's login for this account, and its rights for ECR")
    if code in _MISSING:
        return NotFound(text, status=404, codes=[code])
    if code in _SLOWER:
        return RateLimited(text, codes=[code], retryable=True)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return RegistryError(text, status=status, codes=[code], retryable=status >= 500)


async def ask(place: Place, work: Callable[[], Result]) -> Result:
    """Do what asks AWS; Unreachable when that takes too long in all, each single wait being in time though."""
    try:
        return await on_thread(work, _DEADLINE)
    except TimeoutError:
        hint = "check the network, and the servers that give this machine its login of AWS (metadata, container, pod)"
        text = f"AWS did not answer within {_DEADLINE:g} s for {place.host}"
        raise Unreachable(text, retryable=True, hint=hint) from None
