# SPDX-License-Identifier: Apache-2.0
"""Secrets of the local run: made once, kept in files only their owner can read."""

import base64
import os
import secrets
from pathlib import Path


def key(directory: Path, name: str) -> str:
    """32 random bytes in base64, the same every time it is asked for."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        value = base64.b64encode(secrets.token_bytes(32)).decode()
        file.write(value + "\n")
    return value
