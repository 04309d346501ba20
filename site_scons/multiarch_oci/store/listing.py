"""Listings of a repository, page by page (OCI distribution spec 1.1: "Listing Tags", "Listing Referrers")."""

from __future__ import annotations

import re
from collections.abc import Iterable

from multiarch_oci.document import Document
from multiarch_oci.mediatype import INDEX
from multiarch_oci.reference import Reference
from multiarch_oci.store.http.errors import RegistryRefused
from multiarch_oci.store.http.exchange import Request
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.served import media_type_of

NOT_FOUND = (404,)
NO_REFERRERS = (400, 404, 405, 406, 501)
"""What registries answer that know no referrers API."""
_LINK = r"<([^<>]*)>\s*((?:;\s*[\w*-]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+)\s*)*)"
_PAGES = 10_000


def pages(
    transport: Transport, name: Reference, path: str, *, absent: tuple[int, ...] = NOT_FOUND
) -> Iterable[Document]:
    """The JSON pages of a listing, over their Link headers (RFC 8288); nothing when the first is `absent`."""
    url: str | None = f"/v2/{name.repository}/{path}"
    for _ in range(_PAGES):
        request = Request("GET", url or "", name.registry, name.repository, headers=(("Accept", INDEX),))
        answer = transport.request(request)
        if answer.status in absent or media_type_of(answer) == "text/html":
            return
        if not answer.fine:
            raise transport.refused(request, answer)
        yield Document.parse(answer.content, where=f"{name.name}: {path.partition('?')[0]}")
        url = answer.linked(next_page(answer.headers.get("Link")))
        if url is None:
            return
    raise RegistryRefused(f"the listing has more than {_PAGES} pages", where=name.name)


def next_page(header: str | None) -> str | None:
    """The target of the link with rel=next (RFC 8288 §3)."""
    for target, parameters in re.findall(_LINK, header or ""):
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return str(target)
    return None
