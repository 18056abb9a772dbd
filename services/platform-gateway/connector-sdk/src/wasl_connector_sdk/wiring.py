# SPDX-License-Identifier: Apache-2.0
"""What Wasl's own tree says of a connector beside the connector's files: one entry in each list.

``tests/architecture/test_connectors.py`` demands them. Entries are put in their place in the text;
nothing else of a file changes, and an entry that is there is left as it is.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


class WiringError(Exception):
    """A file's list is not where it was: which file, and what to add by hand."""


@dataclass(frozen=True, slots=True)
class _List:
    """``entries``: matches each entry there is, its key in the first group. ``key``: of a name.

    ``others``: the same for entries a new one must not stand before.
    """

    entries: re.Pattern[str]
    key: Callable[[str], str]
    new: Callable[[str, str], str]
    others: re.Pattern[str] = re.compile("(?!)")

    def extended(self, text: str, name: str, title: str, path: Path) -> str:
        found, key = list(self.entries.finditer(text)), self.key(name)
        entry = self.new(name, title)
        if key in {match[1] for match in (*found, *self.others.finditer(text))}:
            return text
        if not found:
            raise WiringError(f"{path} has no list of connectors; add by hand:\n{entry.strip()}")
        # After the last that sorts before it: some lists begin with entries out of order.
        before = [match for match in found if match[1] < key]
        at = before[-1].end() if before else found[0].start()
        return text[:at] + entry + text[at:]


def _service(name: str) -> str:
    return name.replace("_", "-")


def _table_row(name: str, title: str) -> str:
    page = f"connectors/{name}.md"
    return f"| [`{name}`]({page}) | {title} | one report for each key | polling |\n"


def _compose_service(name: str, _: str) -> str:
    own = f"{{ source: connector_{name}, target: connector }}"
    return (
        f"  connector-{_service(name)}:\n"
        "    <<: *connector\n"
        f"    profiles: [{name}]\n"
        f'    command: ["wasl-platform-gateway", "--connector", "{name}"]\n'
        f"    secrets: [master_key, pepper, mongodb_uri_gateway, gateway_admin_token, {own}]\n\n"
    )


def _compose_secret(name: str, _: str) -> str:
    return f'  connector_{name}: {{ file: "${{WASL_SECRETS:-.wasl/compose}}/connector_{name}" }}\n'


_MODULE = "wasl_platform_gateway.connectors"
_LISTS = {
    Path("docs/connectors.md"): [
        _List(re.compile(r"^\| \[`(\w+)`\]\(.*\n", re.MULTILINE), str, _table_row)
    ],
    Path("docker-compose.yml"): [
        _List(
            re.compile(
                r"^  connector-(\S+):\n    <<: \*connector\n    profiles: .*\n(?:    .*\n)*\n",
                re.MULTILINE,
            ),
            _service,
            _compose_service,
            re.compile(r"^  connector-(\S+):", re.MULTILINE),  # the first is what the rest copies
        ),
        _List(re.compile(r"^  connector_(\w+): \{ file:.*\n", re.MULTILINE), str, _compose_secret),
    ],
    Path("deploy/prometheus/prometheus.yml"): [
        _List(
            re.compile(r"^          - connector-([^\s:]+)\n", re.MULTILINE),
            _service,
            lambda name, _: f"          - connector-{_service(name)}\n",
        )
    ],
    # import-linter's: which connectors may not know each other.
    Path("pyproject.toml"): [
        _List(
            re.compile(rf'(?:\n  | )"{re.escape(_MODULE)}\.(\w+)",'),
            str,
            lambda name, _: f'\n  "{_MODULE}.{name}",',
        )
    ],
}
FILES = tuple(_LISTS)


def wired(root: Path, name: str, title: str) -> Mapping[Path, str]:
    """The files that change, with their new text. Writes nothing. Raises :class:`WiringError`.

    ``root``: Wasl's tree. The table's row says what a fresh skeleton can do.
    """
    changed = {}
    for relative, lists in _LISTS.items():
        path = root / relative
        try:
            before = text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise WiringError(f"{path} cannot be read: {error}") from error
        for one in lists:
            text = one.extended(text, name, title, path)
        if text != before:
            changed[path] = text
    return changed
