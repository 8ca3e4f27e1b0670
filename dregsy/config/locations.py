"""The keys of a source or target: where it is, how to log in, how to list it, what to make there."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.address import Address, read_address
from dregsy.config.aws import ecr_only, read_aws_tags, read_one_of, read_policy, read_role
from dregsy.config.fields import (
    LOCATION,
    Auth,
    Bool,
    Duration,
    Int,
    Section,
    Text,
    at_least,
    one_of,
    problem,
    read_text,
    whole_number,
    written,
)
from dregsy.config.source import Scalar, shown
from dregsy.model.aws import NewRepository

LISTER_KINDS = ("catalog", "dockerhub", "index")
LEAST_RETRY = 30.0


def read_lister_kind(value: Any) -> str:
    """The type of a lister."""
    text = read_text(value)
    if not text:
        raise problem(LOCATION, "no lister type set", f"write 'type:' and one of {', '.join(LISTER_KINDS)}")
    if text not in LISTER_KINDS:
        written = shown(value.written if isinstance(value, Scalar) else text)
        raise problem(LOCATION, f"invalid lister type: {written}", f"it can be {', '.join(LISTER_KINDS)}")
    return text


class Lister(Section):
    """How to find out which repositories a registry has."""

    kind: Annotated[str, PlainValidator(read_lister_kind), one_of(*LISTER_KINDS)] = Field(alias="type")
    """Sources only: how repositories are found for ``from: regex:…``, see [Listers](#listers).

    Left out: ``catalog``; required where there is a ``lister``
    """
    search: Text = ""
    """Sources only: what the ``index`` lister searches for.

    Left out: required with ``index``
    """


_WORD = written("word", type="string", pattern="^[A-Za-z0-9_-]*$")
_TAGS = written("names and values", type="object", minProperties=1)
_ROLE = written("ARN", type="string", pattern="^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$")


class Repository(Section):
    """How a repository is made that is missing at a target."""

    create: Bool = True
    """``false``: make none."""
    scan_on_push: Bool | None = Field(None, alias="scan-on-push")
    """``true`` or ``false``: whether AWS looks for known vulnerabilities.

    Left out: as AWS does
    """
    tag_mutability: Annotated[str, read_one_of("MUTABLE", "IMMUTABLE"), _WORD] = Field("", alias="tag-mutability")
    """``mutable`` or ``immutable``.

    Left out: as AWS does
    """
    encryption: Annotated[str, read_one_of("AES256", "KMS", "KMS_DSSE"), _WORD] = ""
    """``AES256``, ``KMS`` or ``KMS_DSSE``.

    Left out: as AWS does; ``KMS`` with a ``kms-key``
    """
    kms_key: Text = Field("", alias="kms-key")
    """A key of KMS.

    Left out: AWS's own
    """
    lifecycle_policy: Annotated[str, PlainValidator(read_policy), written("JSON text", type="string")] = Field(
        "", alias="lifecycle-policy"
    )
    """The JSON text of a policy, best as ``${file:/etc/dregsy/policy.json}``.

    Left out: none
    """
    tags: Annotated[tuple[tuple[str, str], ...], PlainValidator(read_aws_tags), _TAGS] = ()
    """Names and values that the repository is tagged with.

    Left out: none
    """

    def settings(self) -> NewRepository:
        """Return what is asked for; a key without a kind of encryption means KMS."""
        kind = self.encryption or ("KMS" if self.kms_key else "")
        return NewRepository(
            self.create, self.scan_on_push, self.tag_mutability, kind, self.kms_key, self.lifecycle_policy, self.tags
        )


def check_repository(repository: Repository, info: ValidationInfo) -> Repository:
    """Settings have to fit the registry, and each other."""
    ecr_only(repository, info)
    address = info.data.get("address")
    known = {"create", "tags"} if address is not None and address.is_public_ecr else repository.model_fields_set
    if not repository.model_fields_set <= known:
        raise problem(LOCATION, "public repositories have 'create' and 'tags' only", "remove the other settings")
    if repository.kms_key and repository.encryption == "AES256":
        raise problem(LOCATION, "'kms-key' does not go with 'encryption: AES256'", "write 'encryption: KMS'")
    return repository


def check_retry(seconds: float) -> float:
    """Looks that are too frequent are what registries take for abuse."""
    if seconds < LEAST_RETRY:
        raise problem("retry", f"needs to be {LEAST_RETRY:g}s or more")
    return seconds


class RateLimit(Section):
    """How many pulls are to stay."""

    least: Annotated[Int, AfterValidator(at_least(1)), whole_number(1)] = Field(alias="min")
    """Sources only: the pulls that are to stay, see [Pulls that are counted](#pulls-that-are-counted).

    Left out: no limit; required where there is a ``rate-limit``
    """
    retry: Annotated[Duration, AfterValidator(check_retry)] = 900.0
    """Sources only: how often to look again, 30s or more."""


_REGISTRY = written("`HOST[:PORT][/PATH]`", type="string", minLength=1, pattern=r"^((?!://).)*$")


class Location(Section):
    """A registry, seen from a task."""

    address: Annotated[Address, PlainValidator(read_address), _REGISTRY] = Field(alias="registry")
    """``HOST[:PORT]``, or ``HOST[:PORT]/path`` when everything lives below a path; no ``https://``."""
    auth: Auth = None
    """Base64 of ``{"username": "…", "password": "…"}`` or of ``user:password``; ``none``: log in as nobody.

    Left out: docker's ``config.json`` and its credential helpers, else at
    [Google's registries](../registries/google.md) Google's default credentials, else nobody
    """
    auth_refresh: Annotated[Duration, AfterValidator(ecr_only)] | None = Field(None, alias="auth-refresh")
    """AWS registries (ECR) only: log in with tokens from AWS, none older than this.

    1h or more; see [ECR](../registries/ecr.md).

    Left out: no tokens, unless ``aws-profile`` or ``role-arn`` is given
    """
    aws_profile: Annotated[Text, AfterValidator(ecr_only)] = Field("", alias="aws-profile")
    """ECR only: a profile of AWS's config files, as which AWS is asked for tokens, lists and new repositories.

    Left out: as AWS's own tools would
    """
    role_arn: Annotated[str, PlainValidator(read_role), AfterValidator(ecr_only), _ROLE] = Field("", alias="role-arn")
    """ECR only: a role that is taken on to ask AWS for tokens, lists and new repositories.

    Left out: none
    """
    repository: Annotated[Repository, AfterValidator(check_repository)] | None = None
    """Targets, ECR only: how missing repositories are made.

    Left out: with AWS's defaults
    """
    skip_tls_verify: Bool = Field(default=False, alias="skip-tls-verify")
    """``true``: accept any certificate of this registry, and plain http where it speaks no https.

    That goes for the token servers and storage hosts that it names, too. Not with the docker relay: tell the daemon.
    """
    private_addresses: Bool = Field(default=False, alias="private-addresses")
    """``true``: a registry at a public address may send us to private ones (its storage, its token server).

    Otherwise answers lead no further into a network than where the registry itself is: see
    [security](../security.md).
    """
    lister: Lister | None = None
    """Sources only: how repositories are found, see [Listers](#listers)."""
    rate_limit: RateLimit | None = Field(None, alias="rate-limit")
    """Sources only: holds copies back, see [Pulls that are counted](#pulls-that-are-counted)."""
