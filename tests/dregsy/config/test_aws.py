"""What a location says of AWS, as a file has it."""

import json
from io import StringIO
from pathlib import Path

import pytest

from dregsy.config.load import load
from dregsy.errors import ConfigError
from dregsy.model.aws import Aws, AwsIdentity, NewRepository
from dregsy.model.endpoint import Anonymous, EcrToken, Endpoint

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/team/mirror"
TEXT = """tasks:
  - name: a
    source: {{registry: a.example.com}}
    target:
      registry: {registry}
{keys}
    mappings: [{{from: a/b}}]
"""


GUIDE = (Path(__file__).parents[3] / "docs/registries/ecr.md").read_text(encoding="utf-8")


def examples(kind: str) -> list[str]:
    """Return the guide's examples of one kind."""
    return [part.partition("```")[0] for part in GUIDE.split(f"```{kind}\n")[1:]]


@pytest.mark.parametrize("text", examples("yaml"))
def test_examples_of_the_guide(text: str) -> None:
    """Every example of the guide to AWS's registries loads without a word."""
    assert load("-", environ={}, strict=True, stdin=StringIO(text)).warnings == ()


def test_the_guides_policy() -> None:
    """The policy of the guide is one, and holds the rights that are used."""
    (policy,) = map(json.loads, examples("json"))
    actions = {action for one in policy["Statement"] for action in [one["Action"]] if isinstance(action, str)}
    actions |= {action for one in policy["Statement"] if isinstance(one["Action"], list) for action in one["Action"]}

    assert {"ecr:GetAuthorizationToken", "ecr:DescribeRepositories", "ecr:CreateRepository"} <= actions


def target(keys: str, registry: str = ECR) -> Endpoint:
    """Read a file with some keys at its target."""
    lines = "\n".join(f"      {line}" for line in keys.splitlines())
    loaded = load("-", environ={}, stdin=StringIO(TEXT.format(registry=registry, keys=lines)), strict=True)
    assert loaded.warnings == ()
    return loaded.plan.tasks[0].targets[0]


def test_everything() -> None:
    """All settings arrive, however they are written."""
    found = target(f"""aws-profile: prod
role-arn: {ROLE}
auth-refresh: 2h
repository:
  create: yes
  scan-on-push: true
  tag-mutability: immutable
  encryption: kms-dsse
  kms-key: alias/mirror
  lifecycle-policy: '{{"rules": [1]}}'
  tags: {{team: platform, stage: '1'}}""")

    new = NewRepository(
        True, True, "IMMUTABLE", "KMS_DSSE", "alias/mirror", '{"rules": [1]}', (("team", "platform"), ("stage", "1"))
    )
    assert found.credentials == EcrToken(7200)
    assert found.aws == Aws(AwsIdentity("prod", ROLE), new)


def test_who_asks_switches_tokens_on() -> None:
    """A profile or a role without any login means tokens from AWS; with ``auth`` they are for all but the login."""
    assert target("aws-profile: prod").credentials == EcrToken(12 * 3600)
    assert target(f"role-arn: {ROLE}").credentials == EcrToken(12 * 3600)
    assert target("aws-profile: prod\nauth: none").credentials == Anonymous()
    assert target("repository: {create: false}").aws.new == NewRepository(create=False)
    assert target("repository: {kms-key: a}").aws.new.encryption == "KMS"
    assert target("repository: {tags: {a: b}}", "public.ecr.aws/alias").aws.new.tags == (("a", "b"),)


@pytest.mark.parametrize(
    ("registry", "keys", "line", "message"),
    [
        ("b.example.com", "aws-profile: prod", 6, "'aws-profile' is for ECR registries only"),
        ("b.example.com", f"role-arn: {ROLE}", 6, "'role-arn' is for ECR registries only"),
        ("b.example.com", "repository: {create: false}", 6, "'repository' is for ECR registries only"),
        (ECR, "role-arn: mirror", 6, "is no ARN of a role"),
        (ECR, "repository:\n  tag-mutability: never", 7, "has a value that it cannot have"),
        (ECR, "repository:\n  lifecycle-policy: '{}'", 7, "is no lifecycle policy"),
        (ECR, "repository:\n  lifecycle-policy: x", 7, "is no lifecycle policy"),
        (ECR, "repository:\n  tags: [a]", 7, "needs names and values"),
        (ECR, "repository: {encryption: aes256, kms-key: a}", 6, "'kms-key' does not go with 'encryption: AES256'"),
        ("public.ecr.aws", "repository: {scan-on-push: true}", 6, "public repositories have 'create' and 'tags' only"),
        (ECR, "repository: {scan: true}", 6, "unknown key 'scan'"),
    ],
)
def test_mistakes(registry: str, keys: str, line: int, message: str) -> None:
    """What does not fit is told with its line."""
    with pytest.raises(ConfigError) as caught:
        target(keys, registry)

    (problem,) = caught.value.problems
    assert problem.line == line
    assert message in problem.message
