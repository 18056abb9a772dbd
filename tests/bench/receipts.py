# SPDX-License-Identifier: Apache-2.0
"""What a slow hash of the receipt would cost, next to the keyed fast one (ADR 0008).

Run alone: ``python tests/bench/receipts.py``. CPU seconds of this process, all threads; memory is
what the parameters ask for.
"""

import secrets
import time
from collections.abc import Callable

from argon2.low_level import Type, hash_secret_raw
from wasl_intake.domain import receipt

KEY, SALT = secrets.token_bytes(32), secrets.token_bytes(16)
#: Name, iterations, memory in KiB: GlobaLeaks' order of magnitude, and OWASP's minimum.
SLOW = (("argon2id, 128 MiB, 16 iterations", 16, 131_072), ("argon2id, 19 MiB, 2", 2, 19_456))
YEAR = 365.25 * 86_400


def cpu(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, the mean of ``times``."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def main() -> None:
    code = receipt.new()
    fast = cpu(lambda: receipt.report_id(KEY, code), 100_000)
    print(f"{'HMAC-SHA-256':34} {fast:.7f} CPU s, no memory worth naming")
    for name, iterations, memory in SLOW:
        slow = cpu(
            lambda i=iterations, m=memory: hash_secret_raw(  # type: ignore[misc]
                code.encode(), SALT, i, m, 1, 32, Type.ID
            ),
            3,
        )
        print(f"{name:34} {slow:.7f} CPU s, {memory / 1024:.0f} MiB: {slow / fast:,.0f} times")
    years = 2 ** (receipt.BITS - 1) / 1e12 / YEAR
    print(f"\nA receipt guessed at 10^12 keyed hashes a second: {years:,.0f} years on average,")
    print(f"one of a million receipts: {years / 1e6 * YEAR / 86_400:,.1f} days")


if __name__ == "__main__":
    main()
