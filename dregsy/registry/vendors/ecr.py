"""AWS's registries: which repositories they have, and tags with digests, asked of AWS instead of the registry."""

from dregsy.cloud import ecr
from dregsy.cloud.ecr import EcrHost
from dregsy.registry.vendors.api import Names, NotOffered, Tags, VendorApi


def repositories(api: VendorApi, prefix: str) -> Names:
    """Give all repositories of the account that the host names; for a public registry those of the login's account."""
    del prefix
    return ecr.repositories(_host(api), api.endpoint.aws.identity)


def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository."""
    return ecr.tags(_host(api), repository, api.endpoint.aws.identity)


def _host(api: VendorApi) -> EcrHost:
    host = EcrHost.parse(api.host)
    if host is None:
        raise NotOffered(f"{api.host} is no registry of AWS")
    return host
