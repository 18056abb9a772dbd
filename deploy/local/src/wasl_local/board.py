# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows: a row for each report; plain lines where it is no terminal."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wasl_local.samples import Sample

_COLOURS = {
    "received": "white", "in_review": "cyan", "sent_partner": "yellow", "referred": "blue",
    "removed": "green", "partner_refused": "red", "no_ground": "magenta", "closed": "bright_black",
    "refused": "bright_black",
}  # fmt: skip
#: Lines of the screen that are not rows of the table.
_AROUND = 8


@dataclass
class Row:
    """One report as the demo sees it. ``status`` is what its receipt shows."""

    sample: Sample
    receipt: str | None = None
    status: str = ""
    category: str = ""
    severity: str = ""
    changed: int = field(default=0)


class Board:
    def __init__(self, console: Console, rows: list[Row]) -> None:
        self._console = console
        self._rows = rows
        self._changes = 0
        self._live: Live | None = None
        self._waiting = ""

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Progress]:
        """A progress bar; ``advance(task 0)`` moves it."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with bar:
            bar.add_task(title, total=total)
            yield bar
        if not self._console.is_terminal:
            self.say(f"{title}: {total}")

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Show the table, kept current, until left."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8, transient=True) as self._live:
            self._draw()
            yield
        self._live = None

    def move(self, row: Row, status: str) -> None:
        """The receipt shows another status."""
        self._changes += 1
        row.changed = self._changes
        before, row.status = row.status, status
        if not self._console.is_terminal and before:
            self.say(f"{row.sample.id}  {row.category or '-':22} {before} -> {status}")

    def waiting(self, faults: list[str]) -> None:
        """What keeps the end away."""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        said = f"waiting: {faults[0]}{more}"
        if said != self._waiting and not self._console.is_terminal:
            self.say(said)
        self._waiting = said

    def draw(self) -> None:
        if self._live is not None:
            self._draw()

    def _draw(self) -> None:
        assert self._live is not None
        room = max(5, self._console.height - _AROUND)
        newest = sorted(self._rows, key=lambda row: -row.changed)[:room]
        self._live.update(self._table(newest, f"{self.counts()}\n{self._waiting}"))

    def show_all(self) -> None:
        """Every report and where it ended."""
        self._console.print(self._table(self._rows, ""))

    @staticmethod
    def _table(rows: list[Row], caption: str) -> Table:
        table = Table(caption=caption or None)
        for name in ("report", "channel", "language", "category", "severity", "receipt shows"):
            table.add_column(name)
        for row in sorted(rows, key=lambda row: row.sample.id):
            status = f"[{_COLOURS.get(row.status, 'white')}]{row.status}[/]"
            sample = row.sample
            table.add_row(
                sample.id, sample.channel, sample.language, row.category, row.severity, status
            )
        return table

    def counts(self) -> str:
        """How many receipts show which status."""
        found = Counter(row.status for row in self._rows if row.status)
        return ", ".join(f"{count} {status}" for status, count in found.most_common())
