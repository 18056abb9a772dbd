# SPDX-License-Identifier: Apache-2.0
"""JSON lines on standard output: constant sentences, values in fields.

An exception is logged by its class and the places it passed; its text may quote what a person
wrote, so it never reaches a line.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str, version: str) -> None:
        super().__init__()
        self._fixed = {"service": service, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **self._fixed,
            "logger": record.name,
            "msg": record.msg if not record.args else record.getMessage(),
        }
        line.update({k: v for k, v in vars(record).items() if k not in _PLAIN})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])[-6:]
            line["at"] = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames]
        return json.dumps(line, ensure_ascii=False, default=str)


#: Seconds between two words of one place in a library.
EVERY = 10.0


class _OwnWords(logging.Filter):
    """Libraries put data into their messages: keep their warnings as a fact, not as text.

    While a dependency is away they repeat one several times a second: each place speaks at most
    every :data:`EVERY` seconds, and says how often it was not heard.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Place in a library's code → when it last spoke, and how often it was not heard since.
        self._places: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("wasl"):
            return True
        record.msg, record.args = "a library reported a problem", None
        record.where = where = f"{record.filename}:{record.lineno}"
        if record.levelno < logging.WARNING:
            return False
        spoke, unheard = self._places.get(where, (-EVERY, 0))
        if record.created - spoke < EVERY:
            self._places[where] = (spoke, unheard + 1)
            return False
        self._places[where] = (record.created, 0)
        if unheard:
            record.unheard = unheard
        return True


def configure(
    service: str, version: str, level: str = "INFO", stream: TextIO | None = None
) -> None:
    """Install the one handler. Foreign loggers speak from WARNING up only, without their text."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(service, version))
    handler.addFilter(_OwnWords())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
