"""AWS as a task sees it: as whom to ask, and how the repositories that are missing are to be made. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """As whom AWS is asked: a ``profile`` of its config files, then a ``role`` (an ARN) that is taken on.

    Where both are empty, as whom AWS's own tools would ask.
    """

    profile: str = ""
    role: str = ""

    def __str__(self) -> str:
        """Say who that is, for people."""
        given = {"profile": self.profile, "role": self.role}
        return ", ".join(f"{name} {value}" for name, value in given.items() if value)


@dataclass(frozen=True, slots=True)
class NewRepository:
    """How a repository is made that is missing; what is empty or None is left to AWS.

    Where ``create`` is off none is made. ``encryption`` is AES256, KMS or KMS_DSSE, ``lifecycle_policy`` the
    JSON text of one, ``tags`` are names and values.
    """

    create: bool = True
    scan_on_push: bool | None = None
    tag_mutability: str = ""
    encryption: str = ""
    kms_key: str = ""
    lifecycle_policy: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Aws:
    """What a location says of AWS."""

    identity: AwsIdentity = AwsIdentity()
    new: NewRepository = NewRepository()
