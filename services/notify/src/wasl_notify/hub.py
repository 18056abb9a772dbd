# SPDX-License-Identifier: Apache-2.0
"""What the use cases need of the chassis's service; a test gives them the same over memory."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from wasl_chassis.clock import Clock
from wasl_chassis.store import Store
from wasl_chassis.work import UnitOfWork

from wasl_notify.metrics import Recorder

T = TypeVar("T")


class Hub(Protocol):
    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Recorder: ...
    @property
    def stopping(self) -> bool: ...
    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T: ...


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end, then raise the first error: nobody's failure cuts another short."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
