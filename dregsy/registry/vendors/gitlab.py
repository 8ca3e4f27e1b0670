"""GitLab: the repositories of a group or project (API v4), and tags with digests (its registry's API)."""

from collections.abc import AsyncGenerator
from urllib.parse import quote, urljoin, urlsplit

from dregsy.errors import NotFound
from dregsy.model.endpoint import Login
from dregsy.registry.challenge import pull
from dregsy.registry.vendors.api import MOST_PAGES, Names, NotOffered, Tags, VendorApi, listed, texts

_JOB_USER = "gitlab-ci-token"


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository; registries without a metadata database have no such list."""
    query = {"n": "1000"}
    path = f"gitlab/v1/repositories/{repository}/tags/list/"
    for _ in range(MOST_PAGES):
        page = await api.get(path, query, repository=repository, scopes=(pull(repository),))
        yield listed(page.entries(), "name", "digest", "created_at", "updated_at", "published_at")
        if page.next is None or page.next == query:
            return
        query = page.next


async def repositories(api: VendorApi, prefix: str) -> Names:
    """Give the repositories of the group or project that ``prefix`` is or is in."""
    if not prefix:
        raise NotOffered(f"{api.host} lists the repositories of a group or project only")
    root, headers = await _site(api), _headers(await api.login(prefix))
    path = prefix
    while path:
        for kind in ("groups", "projects"):
            try:
                async for names in _pages(api, f"{root}api/v4/{kind}/{quote(path, safe='')}", headers):
                    yield names
            except NotFound:
                continue
            return
        path = path.rpartition("/")[0]
    raise NotOffered(f"{api.host} knows no group or project {prefix!r} for this login")


async def _pages(api: VendorApi, place: str, headers: dict[str, str]) -> AsyncGenerator[list[str], None]:
    number = "1"
    for _ in range(MOST_PAGES):
        query = {"per_page": "100", "page": number}
        page = await api.get(f"{place}/registry/repositories", query, headers=headers)
        yield list(texts(page.entries(), "path"))
        follower = page.headers.get("X-Next-Page", "")
        if not follower or follower == number:
            return
        number = follower


async def _site(api: VendorApi) -> str:
    """Return the root of the GitLab that the registry belongs to: it is where the registry sends for tokens."""
    challenge = await api.challenge()
    realm = challenge.parameters.get("realm", "") if challenge else ""
    try:
        scheme = urlsplit(realm).scheme
    except ValueError:
        scheme = ""
    if scheme != "https" and scheme != urlsplit(await api.root()).scheme:
        raise NotOffered(f"{api.host} belongs to no GitLab with a safe address")
    return urljoin(realm, "/")


def _headers(login: Login) -> dict[str, str]:
    if login.password is None:
        return {}
    return {"JOB-TOKEN" if login.username == _JOB_USER else "PRIVATE-TOKEN": login.password.reveal()}
