"""What a location may say when its registry is AWS's (ECR): as whom to ask, and how repositories are made."""

import json
from typing import Any

from pydantic import PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import LOCATION, problem, read_text
from dregsy.config.source import Table
from dregsy.model import pattern

_ROLE = pattern.compile_whole(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")


def ecr_only(value: Any, info: ValidationInfo) -> Any:
    """Let a value pass at AWS's registries alone."""
    address = info.data.get("address")
    if address is not None and not address.is_ecr:
        if info.field_name == "auth_refresh":
            message = "registry wants authentication refresh, but is not an ECR registry"
            raise problem(LOCATION, message, "give 'auth', or neither")
        key = str(info.field_name).replace("_", "-")
        raise problem(LOCATION, f"'{key}' is for ECR registries only", "remove it")
    return value


def read_role(value: Any) -> str:
    """The ARN of a role."""
    text = read_text(value)
    if not _ROLE(text):
        raise problem("role", "is no ARN of a role", "such as arn:aws:iam::123456789012:role/NAME")
    return text


def read_one_of(*values: str) -> Any:
    """Make a reader of one of some words, written in any way."""

    def read(value: Any) -> str:
        text = read_text(value).upper().replace("-", "_")
        if text not in values:
            raise problem("choice", "has a value that it cannot have", f"it can be {', '.join(values)}")
        return text

    return PlainValidator(read)


def read_policy(value: Any) -> str:
    """The JSON text of a lifecycle policy."""
    text = read_text(value)
    try:
        rules = json.loads(text)["rules"]
    except (ValueError, KeyError, TypeError, RecursionError):
        rules = None
    if not isinstance(rules, list) or not rules:
        raise problem("policy", "is no lifecycle policy", 'write JSON: {"rules": [...]}, or ${file:/path}')
    return text


def read_aws_tags(value: Any) -> tuple[tuple[str, str], ...]:
    """Names and values of AWS's tags."""
    if not isinstance(value, Table) or not value:
        raise problem("tags", "needs names and values", "such as 'team: platform'")
    return tuple((name, read_text(one)) for name, one in value.items())
