# SPDX-License-Identifier: Apache-2.0
"""Addresses of partners in a connector's config."""

from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def _safe(url: AnyHttpUrl) -> AnyHttpUrl:
    host = url.host or ""
    private = host in _LOCAL or "." not in host
    if url.scheme != "https" and not private:
        raise ValueError("expected https; http is for this machine and for single-label hosts only")
    if url.username or url.password:
        raise ValueError(
            "expected no user name or password in the address; use the secret's own field"
        )
    if url.fragment:
        raise ValueError("expected no #fragment in the address")
    return url


#: An https address; http only for this machine and for names without a dot (a container beside us).
PartnerUrl = Annotated[AnyHttpUrl, AfterValidator(_safe)]
