from dregsy.model.aws import Aws, AwsIdentity


def test_who_asks() -> None:
    """An identity is told in words; one that says nothing is nothing."""
    role = "arn:aws:iam::123456789012:role/mirror"

    assert str(AwsIdentity("prod", role)) == f"profile prod, role {role}"
    assert str(Aws().identity) == ""
