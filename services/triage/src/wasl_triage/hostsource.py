# SPDX-License-Identifier: Apache-2.0
"""Files that know networks: a MaxMind DB, and the operator's table of host names.

Read once and kept in memory; nothing is fetched, and who provides the file decides its licence.
Layouts: country and ASN databases as MaxMind, DB-IP and IPinfo publish them.
"""

import csv
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import maxminddb

from wasl_triage.domain.hosting import Holder

_COUNTRY = ("country", "registered_country", "country_code")
_NAME = ("autonomous_system_organization", "as_name", "organization", "isp", "name")


class MmdbSource:
    """Networks of a MaxMind DB file. ValueError where the file is missing or is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ValueError(
                f"{path}: expected a MaxMind DB (.mmdb) file that can be read; download it again"
            ) from error
        meta = self._reader.metadata()
        built = datetime.fromtimestamp(meta.build_epoch, UTC).date()
        self._name = f"{meta.database_type} {built.isoformat()}"

    @property
    def name(self) -> str:
        """The database's type and the day it was built."""
        return self._name

    def holder(self, address: IPv4Address | IPv6Address) -> Holder | None:
        """None for an address outside the file, or outside the public internet."""
        if not address.is_global:
            return None
        try:
            row = self._reader.get(address)
        except ValueError:  # an IPv6 address, and the file holds IPv4 networks only
            return None
        if not isinstance(row, dict):
            return None
        found = Holder(_country(row), _first(row, _NAME))
        return found if found.country or found.name else None


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((row[n] for n in names if isinstance(row.get(n), str) and row[n]), None)


def _country(row: dict[str, Any]) -> str | None:
    for name in _COUNTRY:
        value = row.get(name)
        code = value.get("iso_code") if isinstance(value, dict) else value
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return code.upper()
    return None


def read_addresses(path: Path) -> dict[str, str]:
    """IP address by host name, from lines of ``host,address``. ValueError names a wrong line."""
    table: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines), 1):
            if not row or row[0].startswith("#"):
                continue
            try:
                host, address = row
                table[host.strip().lower().rstrip(".")] = str(ip_address(address.strip()))
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: expected a host name and an IP address, such as"
                    " www.example.org,192.0.2.1"
                ) from None
    return table
