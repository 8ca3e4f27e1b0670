"""The keys of a source or target: where it is, how to log in, how to list it, what to make there."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.address import Address, read_address
from dregsy.config.aws import ecr_only, read_aws_tags, read_one_of, read_policy, read_role
from dregsy.config.fields import LOCATION, Auth, Bool, Duration, Int, Section, Text, at_least, problem, read_text
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

    kind: Annotated[str, PlainValidator(read_lister_kind)] = Field(alias="type")
    search: Text = ""


class Repository(Section):
    """How a repository is made that is missing at a target."""

    create: Bool = True
    scan_on_push: Bool | None = Field(None, alias="scan-on-push")
    tag_mutability: Annotated[str, read_one_of("MUTABLE", "IMMUTABLE")] = Field("", alias="tag-mutability")
    encryption: Annotated[str, read_one_of("AES256", "KMS", "KMS_DSSE")] = ""
    kms_key: Text = Field("", alias="kms-key")
    lifecycle_policy: Annotated[str, PlainValidator(read_policy)] = Field("", alias="lifecycle-policy")
    tags: Annotated[tuple[tuple[str, str], ...], PlainValidator(read_aws_tags)] = ()

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

    least: Annotated[Int, AfterValidator(at_least(1))] = Field(alias="min")
    retry: Annotated[Duration, AfterValidator(check_retry)] = 900.0


class Location(Section):
    """A registry, seen from a task."""

    address: Annotated[Address, PlainValidator(read_address)] = Field(alias="registry")
    auth: Auth = None
    auth_refresh: Annotated[Duration, AfterValidator(ecr_only)] | None = Field(None, alias="auth-refresh")
    aws_profile: Annotated[Text, AfterValidator(ecr_only)] = Field("", alias="aws-profile")
    role_arn: Annotated[str, PlainValidator(read_role), AfterValidator(ecr_only)] = Field("", alias="role-arn")
    repository: Annotated[Repository, AfterValidator(check_repository)] | None = None
    skip_tls_verify: Bool = Field(default=False, alias="skip-tls-verify")
    private_addresses: Bool = Field(default=False, alias="private-addresses")
    lister: Lister | None = None
    rate_limit: RateLimit | None = Field(None, alias="rate-limit")
