# SPDX-License-Identifier: Apache-2.0
"""Make a fresh mongod the replica set rs0 with one user per service. Safe to run again.

It must reach mongod on localhost (compose: in mongo's network namespace), because a server without
users lets only localhost create the first. Each service may read and write its own database and the
key vault; none may read another's. ``URIS``: a folder with one file per service that holds its
MONGODB_URI; ``ROOT_PASSWORD``: a file; ``MEMBER``: the address the clients know this server by.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

ALREADY_INITIATED, USER_EXISTS = 23, 51003
REFUSED = {13, 18}  # not authorised, or not authenticated: users exist already
PREFIX = os.environ.get("WASL_DATABASE_PREFIX", "wasl")
SERVICES = ("intake", "triage", "gateway", "notify")
Client = MongoClient[dict[str, Any]]


def initiate(client: Client) -> None:
    member = {"_id": 0, "host": os.environ["MEMBER"]}
    try:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
    except OperationFailure as error:
        if error.code != ALREADY_INITIATED and error.code not in REFUSED:
            raise
    while not client.admin.command("hello").get("isWritablePrimary"):
        time.sleep(0.2)


def create(client: Client, user: str, password: str, roles: list[dict[str, str]]) -> None:
    try:
        client.admin.command("createUser", user, pwd=password, roles=roles)
    except OperationFailure as error:
        if error.code != USER_EXISTS:
            raise
        client.admin.command("updateUser", user, pwd=password, roles=roles)


def main() -> None:
    root_password = Path(os.environ["ROOT_PASSWORD"]).read_text().strip()
    here: dict[str, Any] = {"host": "127.0.0.1", "port": 27017, "directConnection": True}
    with MongoClient(**here) as client:
        initiate(client)
        try:
            create(client, "root", root_password, [{"role": "root", "db": "admin"}])
        except OperationFailure as error:
            if error.code not in REFUSED:
                raise
    with MongoClient(**here, username="root", password=root_password) as client:
        for file in sorted(Path(os.environ["URIS"]).glob("mongodb_uri_*")):
            uri = urlsplit(file.read_text().strip())
            service = file.name.removeprefix("mongodb_uri_")
            names = SERVICES if service == "cli" else (service,)
            roles = [{"role": "readWrite", "db": f"{PREFIX}_{name}"} for name in (*names, "vault")]
            create(client, unquote(uri.username or ""), unquote(uri.password or ""), roles)
            sys.stdout.write(f"the user of {service} is in place\n")


if __name__ == "__main__":
    try:
        main()
    except (PyMongoError, KeyError, OSError) as problem:
        sys.exit(f"mongo could not be prepared: {type(problem).__name__}: {problem}")
