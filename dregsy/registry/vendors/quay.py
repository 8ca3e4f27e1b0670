"""Quay (API v1): the repositories of a namespace, and the tags of a repository with their digests.

The API takes OAuth tokens, which users give as the password of ``$oauthtoken``; anybody may read what is public.
"""

from urllib.parse import quote

from dregsy.registry.vendors.api import MOST_PAGES, Names, NotOffered, Tags, VendorApi, digests

_OAUTH_USER = "$oauthtoken"
_SIZE = "100"


async def repositories(api: VendorApi, prefix: str) -> Names:
    """Give the repositories of the namespace that ``prefix`` begins with."""
    if not prefix:
        raise NotOffered(f"{api.host} lists the repositories of a namespace only")
    headers = await _headers(api, prefix)
    query = {"namespace": prefix.partition("/")[0], "public": "true"}
    for _ in range(MOST_PAGES):
        page = await api.get("api/v1/repository", query, headers=headers)
        names = digests(page.entries("repositories"), "name", "namespace")
        yield [f"{namespace}/{name}" for name, namespace in names.items()]
        follower = page.document.get("next_page")
        if not isinstance(follower, str) or follower == query.get("next_page"):
            return
        query = {**query, "next_page": follower}


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository that are alive."""
    headers = await _headers(api, repository)
    for number in range(1, MOST_PAGES):
        query = {"onlyActiveTags": "true", "limit": _SIZE, "page": str(number)}
        page = await api.get(f"api/v1/repository/{quote(repository)}/tag/", query, headers=headers)
        yield digests(page.entries("tags"), "name", "manifest_digest")
        if page.document.get("has_additional") is not True:
            return


async def _headers(api: VendorApi, repository: str) -> dict[str, str]:
    """Return what the API takes for a login; NotOffered for other logins than OAuth tokens."""
    login = await api.login(repository)
    if login.is_anonymous:
        return {}
    if login.username != _OAUTH_USER or login.password is None:
        raise NotOffered(f"{api.host} takes no password for its API", hint=f"log in as {_OAUTH_USER}")
    return {"Authorization": f"Bearer {login.password.reveal()}"}
