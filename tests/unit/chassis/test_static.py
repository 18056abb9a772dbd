# SPDX-License-Identifier: Apache-2.0
"""A file's address changes with its content, and its content is all that is served there."""

import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from wasl_chassis.static import StaticFiles

FILES = {"site.css": "text/css", "site.js": "text/javascript"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wasl_example_pages"
    (folder / "static").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "static" / "site.css").write_text("p { color: red }")
    (folder / "static" / "site.js").write_text("let a = 1;")
    (folder / "static" / "other.js").write_text("not named, not served")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


async def test_each_named_file_is_served_at_its_address_to_be_kept_for_ever(package: Path) -> None:
    files = StaticFiles(package.name, FILES)
    assert files.addresses.keys() == FILES.keys()
    app = Starlette(routes=[Route(path, files.serve) for path in files.addresses.values()])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pages.test") as browser:
        for name, media_type in FILES.items():
            answer = await browser.get(files.addresses[name])
            assert answer.content == (package / "static" / name).read_bytes()
            assert answer.headers["content-type"].partition(";")[0] == media_type
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_address_tells_the_content_and_the_kind(package: Path) -> None:
    before = StaticFiles(package.name, FILES).addresses
    assert StaticFiles(package.name, FILES).addresses == before
    assert before["site.css"].endswith(".css")
    (package / "static" / "site.css").write_text("p { color: blue }")
    after = StaticFiles(package.name, FILES).addresses
    assert after["site.css"] != before["site.css"]
    assert after["site.js"] == before["site.js"]
