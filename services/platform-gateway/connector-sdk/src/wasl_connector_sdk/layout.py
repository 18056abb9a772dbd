# SPDX-License-Identifier: Apache-2.0
"""Where the parts of a connector are: in Wasl's own tree, or in a distribution of its own."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from wasl_connector_sdk.registry import GROUP

_GATEWAY = Path("services/platform-gateway")


class LayoutError(Exception):
    """What is wrong with the folder, and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``external``: the folder is one distribution, not Wasl's tree."""

    root: Path
    external: bool = False

    @classmethod
    def around(cls, folder: Path) -> "Layout":
        """The tree a folder is in. Raises :class:`LayoutError`."""
        for place in (folder.resolve(), *folder.resolve().parents):
            if (place / _GATEWAY / "pyproject.toml").exists():
                return cls(place)
            inside = place.parts[-len(_GATEWAY.parts) :] == _GATEWAY.parts
            if not inside and (place / "pyproject.toml").exists():
                layout = cls(place, external=True)
                if layout.entries():
                    return layout
        raise LayoutError(f"{folder} is neither in Wasl's tree nor in a connector's distribution")

    @property
    def pyproject(self) -> Path:
        return self.root / ("" if self.external else _GATEWAY) / "pyproject.toml"

    @property
    def src(self) -> Path:
        return self.pyproject.parent / "src"

    @property
    def tests(self) -> Path:
        """The folder in or under which a connector's tests are."""
        return self.root / "tests" if self.external else self.root / "tests/unit/platform_gateway"

    @property
    def table(self) -> Path | None:
        """The page with the table of all connectors."""
        return None if self.external else self.root / "docs/connectors.md"

    def entries(self) -> dict[str, str]:
        """``module:Class`` by name, as declared. The installed list is older while one is added."""
        try:
            declared = tomllib.loads(self.pyproject.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LayoutError(f"{self.pyproject} cannot be read: {error}") from error
        listed = declared.get("project", {}).get("entry-points", {}).get(GROUP, {})
        return {str(name): str(value) for name, value in listed.items()}

    def module(self, name: str) -> str:
        if self.external:
            return f"wasl_connector_{name}.connector"
        return f"wasl_platform_gateway.connectors.{name}"

    def source(self, name: str) -> Path:
        return self.src.joinpath(*self.module(name).split(".")).with_suffix(".py")

    def fake_module(self, name: str) -> str:
        return f"fake_{name}" if self.external else f"fakes.{name}"

    def fake(self, name: str) -> Path:
        folder = self.tests if self.external else self.root / "tests/support"
        return folder.joinpath(*self.fake_module(name).split(".")).with_suffix(".py")

    def test(self, name: str) -> Path:
        return (self.tests if self.external else self.tests / "connectors") / f"test_{name}.py"

    def conformance(self, name: str) -> Path:
        return self.test(name).with_name(f"test_{name}_conformance.py")

    def page(self, name: str) -> Path:
        return self.root / ("README.md" if self.external else f"docs/connectors/{name}.md")

    def quality(self, name: str) -> Path:
        return self.pyproject.parent / "quality" / f"{name}.toml"
