# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, for both Matrix connectors and each kind of report."""

from typing import ClassVar

from fakes.matrix import EVENT, ROOM, FakeMatrix
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.matrix import MatrixAdminConnector, MatrixConnector

CONFIG = {"homeserver": FakeMatrix.base, "token": "secret-token"}
ADMIN = {**CONFIG, "admin_token": "secret-admin"}


class TestEvent(ConnectorContract):
    connector = MatrixConnector
    fake = FakeMatrix
    config: ClassVar = {**CONFIG, "join": True}
    submission: ClassVar = {"location": f"https://matrix.to/#/{ROOM}/{EVENT}"}


class TestRoom(ConnectorContract):
    connector = MatrixConnector
    fake = FakeMatrix
    config: ClassVar = CONFIG
    submission: ClassVar = {"location": ROOM}


class TestAdminEvent(ConnectorContract):
    connector = MatrixAdminConnector
    fake = FakeMatrix
    config: ClassVar = ADMIN
    submission: ClassVar = {"location": f"{ROOM}/{EVENT}"}


class TestAdminUser(ConnectorContract):
    connector = MatrixAdminConnector
    fake = FakeMatrix
    config: ClassVar = ADMIN
    submission: ClassVar = {"location": "@somebody:matrix.test"}
