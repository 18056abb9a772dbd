# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium before the real intake service. Skips with the reason where there is none."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from desk_hub import DeskHub, Hands
from playwright.sync_api import Browser, sync_playwright
from visitor import LOOKS, ROOT, Look, Visitor, World

AXE = ROOT / ".wasl" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
Enter = Callable[[Look], Visitor]
Sit = Callable[..., Hands]


def _missing(what: str) -> None:
    """Skip; fail where everything must run."""
    if os.environ.get("WASL_BROWSER_REQUIRED"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with World().serving() as served:
        yield served


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    named = os.environ.get("WASL_CHROMIUM")
    path = named or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        _missing("no Chromium: apt-get install chromium, or set WASL_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            # Nothing but this machine has a name, so nothing can be reached by mistake.
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield browser
        browser.close()


@pytest.fixture
def enter(world: World, chromium: Browser) -> Iterator[Enter]:
    """Lets somebody in. Their exit may lead to the neutral page; nothing else leaves the origin."""
    inside: list[Visitor] = []

    def let_in(look: Look) -> Visitor:
        context = chromium.new_context(
            viewport={"width": look.width, "height": look.height},
            java_script_enabled=look.script,
            color_scheme=look.scheme,
            device_scale_factor=look.scale,
            locale={"ar": "ar-MA", "fr": "fr-MA"}[look.lang],
        )
        inside.append(Visitor(world, context, look))
        return inside[-1]

    yield let_in
    for visitor in inside:
        visitor.context.close()
    for visitor in inside:
        visitor.check(visitor.neutral)


@pytest.fixture
def desk() -> Iterator[DeskHub]:
    with DeskHub().serving() as served:
        yield served


@pytest.fixture
def sit(chromium: Browser) -> Iterator[Sit]:
    """Somebody sits down at the desk's keyboard; nothing leaves its origin, nothing complains."""
    seated: list[Hands] = []

    def down(
        hub: DeskHub, lang: str, *, width: int = 1280, height: int = 900, script: bool = True
    ) -> Hands:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=script,
            locale={"ar": "ar-MA", "fr": "fr-MA"}[lang],
        )
        seated.append(Hands(hub, context, lang))
        return seated[-1]

    yield down
    for hands in seated:
        hands.context.close()
    for hands in seated:
        hands.check()


@pytest.fixture(params=LOOKS, ids=str)
def visitor(request: Any, enter: Enter) -> Visitor:
    return enter(request.param)


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        _missing("no axe-core: make test-browser fetches it where npm is installed")
    return AXE.read_text(encoding="utf-8")
