# SPDX-License-Identifier: Apache-2.0
"""A package's own files for browsers, at addresses that change with their content.

An address carries the content's hash, so a browser may keep a file for ever and never has an old
one. Files are read once, at the start, and nothing else of the disk can be asked for.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response


class StaticFiles:
    """``files``: names in the package's folder ``static`` → media types."""

    def __init__(self, package: str, files: Mapping[str, str]) -> None:
        folder = resources.files(package) / "static"
        self._held: dict[str, tuple[bytes, str]] = {}
        #: File name → address.
        self.addresses: dict[str, str] = {}
        for name, media_type in files.items():
            content = (folder / name).read_bytes()
            tag = hashlib.sha256(content).hexdigest()[:12]
            address = f"/static/{tag}.{name.rpartition('.')[2]}"
            self.addresses[name] = address
            self._held[address] = (content, media_type)

    async def serve(self, request: Request) -> Response:
        """The answer at one of :attr:`addresses`."""
        content, media_type = self._held[request.url.path]
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(content, headers=headers, media_type=media_type)
