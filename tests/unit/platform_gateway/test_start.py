# SPDX-License-Identifier: Apache-2.0
"""What stops a gateway from starting, and what it is made of when it starts."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from wasl_chassis.settings import SettingsError
from wasl_platform_gateway import bootstrap
from wasl_platform_gateway.connectors.reference import ReferenceConnector
from wasl_platform_gateway.domain.lane import Rate
from wasl_schemas.country_pack import load_country_pack
from wasl_schemas.events.common import Severity
from wasl_schemas.topics import BUILT_IN_CONNECTORS

PACK = Path(__file__).parents[3] / "deploy" / "country-packs" / "ma"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
GOOD = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "MONGODB_URI": "mongodb://127.0.0.1:1",
    "WASL_MASTER_KEY": KEY,
    "WASL_PEPPER": KEY,
    "WASL_COUNTRY_PACK": str(PACK),
    "WASL_CONNECTOR_CONFIG": json.dumps({"base_url": "https://example.org", "token": "CANARY"}),
}


def start(*arguments, **env):
    """Run the command; it must end by itself."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "wasl_platform_gateway", *arguments],
        env={**keep, **GOOD, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ((), {}, ["WASL_CONNECTOR is not set"]),
        (
            ("--connector", "nothing"),
            {},
            ["WASL_CONNECTOR", "'nothing' is not installed", "webhook"],
        ),
        (
            ("--connector", "reference"),
            {"WASL_CONNECTOR_CONFIG": '{"base_url": "http://CANARY.example", "tokn": "CANARY"}'},
            ["WASL_CONNECTOR_CONFIG: base_url: expected https", ": token: ", ": tokn: ", "docs/"],
        ),
        (("--connector", "reference"), {"WASL_CONNECTOR_CONFIG": "{"}, ["WASL_CONNECTOR_CONFIG: "]),
        (
            ("--connector", "reference"),
            {"WASL_COUNTRY_PACK": "/nowhere"},
            ["WASL_COUNTRY_PACK: ", "/nowhere"],
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(arguments, env, said):
    ended = start(*arguments, **env)
    assert ended.returncode == 78, ended.stderr
    for words in said:
        assert words in ended.stderr
    assert "CANARY" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_config_may_be_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"base_url": 1}')
    env = {"WASL_CONNECTOR_CONFIG": "", "WASL_CONNECTOR_CONFIG_FILE": str(path)}
    ended = start("--connector", "reference", **env)
    assert ended.returncode == 78
    assert "base_url" in ended.stderr


def test_the_config_may_change_what_the_manifest_says():
    text = {
        "base_url": "https://example.org",
        "token": "x",
        "retry_seconds": [1],
        "poll_seconds": [2],
    }
    config = bootstrap.read_config(ReferenceConnector, json.dumps({**text, "rate_per_second": 3}))
    plan = bootstrap.plan_of(ReferenceConnector, config, lambda _s, start: start)
    assert (plan.retry_seconds, plan.poll_seconds, plan.max_attempts) == ((1,), (2,), 2)
    assert bootstrap.rate_of(ReferenceConnector, config) == Rate(3, 10)


def test_without_a_rate_there_is_none():
    config = bootstrap.read_config(
        ReferenceConnector, '{"base_url": "https://example.org", "token": "x"}'
    )
    assert bootstrap.rate_of(ReferenceConnector, config) is None


def test_a_config_that_is_not_an_object_is_named():
    with pytest.raises(SettingsError, match="WASL_CONNECTOR_CONFIG"):
        bootstrap.read_config(ReferenceConnector, "[]")


async def test_grounds_are_put_into_the_partners_words(kit):
    pack = load_country_pack(PACK)
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    await gateway.request(1, partner="meta")
    row = gateway.row(1)
    law = next(iter(pack.laws.values()))
    text = bootstrap.ground_text(pack)
    assert text(row.but(ground_ref=law.id)) == law.title["en"]
    assert text(row.but(ground_ref=law.id, partner="nobody", language="fr")) == law.title["fr"]
    assert text(row.but(ground_ref="no.such.law")) == ""


def test_the_wait_for_an_answer_is_the_country_packs():
    pack = load_country_pack(PACK)
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)

    class Given:
        gateway_no_reply_after_seconds = None

    waits = bootstrap._no_reply(Given(), pack)
    assert waits(Severity.CRITICAL, start) < waits(Severity.LOW, start)
    Given.gateway_no_reply_after_seconds = 60
    assert bootstrap._no_reply(Given(), pack)(Severity.LOW, start) == start + timedelta(seconds=60)


def test_every_built_in_topic_has_its_connector():
    from wasl_connector_sdk.registry import load_all

    assert set(BUILT_IN_CONNECTORS) <= set(load_all())
