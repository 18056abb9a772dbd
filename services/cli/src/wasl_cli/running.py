# SPDX-License-Identifier: Apache-2.0
"""From a coroutine to an exit status, without a traceback for what an operator can mend.

0 done · 1 done, and something is wrong · 2 the command line is wrong · 69 a dependency is away
(EX_UNAVAILABLE) · 70 refused by a dependency (EX_SOFTWARE) · 78 settings (EX_CONFIG).
"""

import asyncio
import getpass
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from aiokafka.errors import KafkaError
from wasl_chassis.clock import SystemClock
from wasl_chassis.failures import Failure, Retryable
from wasl_chassis.mongo import MongoStore
from wasl_chassis.operating import Desk, Operations, Refused
from wasl_chassis.settings import Settings, SettingsError

P = ParamSpec("P")
T = TypeVar("T")

WRONG, USAGE, AWAY, REFUSED, CONFIG = 1, 2, 69, 70, 78

_FIX = {
    "kafka_away": "Kafka does not answer; check KAFKA_BOOTSTRAP_SERVERS and that the broker runs",
    "transient": "the database does not answer; check MONGODB_URI and that the server runs",
    "conflict": "somebody else changed the same thing; try again",
}


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result, with libraries kept quiet: what matters is said by the command itself."""
    logging.getLogger().addHandler(logging.NullHandler())
    return asyncio.run(work)


def told(command: Callable[P, T]) -> Callable[P, T]:
    """Say what an operator can mend in one line on standard error, and exit with its status."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            _stop(f"the settings are incomplete:\n{error}", CONFIG)
        except Refused as error:
            _stop(str(error), USAGE)
        except Retryable as error:
            _stop(f"{_FIX.get(error.reason, _FIX['transient'])} ({error})", AWAY)
        except (KafkaError, TimeoutError) as error:
            _stop(f"{_FIX['kafka_away']} ({type(error).__name__})", AWAY)
        except Failure as error:
            _stop(f"{error} ({error.reason})", REFUSED)
        raise AssertionError  # _stop never returns

    return wrapped


def _stop(message: str, status: int) -> None:
    sys.stderr.write(f"wasl: {message}\n")
    raise typer.Exit(status) from None


@asynccontextmanager
async def store_of(settings: Settings, database: str) -> AsyncIterator[MongoStore]:
    """One database, and the key vault's beside it."""
    store = MongoStore(
        settings.mongodb_uri.get_secret_value(),
        database=database,
        vault_database=f"{settings.database_prefix}_vault",
        driver="pymongo" if settings.mongo_driver == "pymongo" else "motor",
    )
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def desk_of(settings: Settings, piece: Operations) -> AsyncIterator[Desk]:
    async with store_of(settings, piece.database_of(settings)) as store:
        yield Desk(store, settings, SystemClock(), operator())


def operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container without a passwd entry
