# SPDX-License-Identifier: Apache-2.0
"""Schedules, channels, settings: what is wrong is named, and the process does not start."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_chassis.settings import SettingsError, read
from wasl_notify.bootstrap import build
from wasl_notify.domain.channels import ChannelsError, FileDoor, read_channels
from wasl_notify.domain.schedule import MAIL, WEBHOOK, Breaker, next_delay
from wasl_notify.settings import NotifySettings
from wasl_schemas import topics

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@given(st.sampled_from([MAIL, WEBHOOK]), st.integers(1, 12), st.text(max_size=8))
def test_delays_follow_the_schedule_within_a_tenth(delays, attempts, key):
    delay = next_delay(delays, attempts, key)
    if attempts > len(delays):
        assert delay is None
    else:
        assert delays[attempts - 1] <= delay <= delays[attempts - 1] * 1.1
        assert delay == next_delay(delays, attempts, key)


def test_breaker_doubles_up_to_five_minutes():
    breaker, now = Breaker(), datetime(2026, 1, 5, tzinfo=UTC)
    assert not breaker.open(now)
    pauses = [(breaker.failed(now) - now).total_seconds() for _ in range(9)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert breaker.open(now + timedelta(seconds=299))
    assert not breaker.open(now + timedelta(seconds=300))
    breaker.worked()
    assert not breaker.open(now)


def test_channels(tmp_path):
    file = tmp_path / "channels.json"
    hook = {"url": "https://example.org/hook", "secret": SECRET}
    file.write_text(
        json.dumps(
            {
                "subscribers": [{"id": "observatory", **hook}],
                "authorities": {"dgsn": {"channel": "webhook", **hook}},
            }
        )
    )
    channels = read_channels(file)
    assert channels.subscriber("observatory").url == hook["url"]
    assert channels.subscriber("other") is None
    assert channels.door("dgsn").channel == "webhook"
    assert channels.door("cndp") == FileDoor(channel="file")
    assert SECRET not in repr(channels)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"url": "http://example.org/hook"}, "url: expected https"),
        ({"url": "https://user:pw@example.org/"}, "url: expected no user name"),
        ({"url": "file:///etc/passwd"}, "url: expected https"),
        ({"url": "https://[::1"}, "url: expected an address"),
        ({"url": "https://example.org:99999/"}, "url: expected an address"),
        ({"secret": "whsec_c2hvcnQ="}, "secret: expected 24 to 64 bytes in base64, got 5 bytes"),
        ({"secret": "zircon!"}, "secret: expected 'whsec_' and 24 to 64 bytes"),
        ({"id": "No Slug"}, "id: String should match"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_faults_of_channels_are_named_without_secrets(tmp_path, entry, says):
    file = tmp_path / "channels.json"
    good = {"id": "observatory", "url": "https://example.org/hook", "secret": SECRET}
    file.write_text(json.dumps({"subscribers": [{**good, **entry}]}))
    with pytest.raises(ChannelsError) as error:
        read_channels(file)
    assert f"subscribers.0.{says}" in str(error.value)
    assert "zircon" not in str(error.value)
    assert SECRET not in str(error.value)


def test_channels_that_are_not_there_or_not_json(tmp_path):
    with pytest.raises(ChannelsError, match="cannot be read"):
        read_channels(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ChannelsError, match="the file: Invalid JSON"):
        read_channels(tmp_path / "bad.json")
    twice = [{"id": "a1", "url": "https://example.org/", "secret": SECRET}] * 2
    (tmp_path / "twice.json").write_text(json.dumps({"subscribers": twice}))
    with pytest.raises(ChannelsError, match="each id once"):
        read_channels(tmp_path / "twice.json")


@pytest.fixture
def env(monkeypatch, tmp_path, world):
    values = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=rs0",
        "WASL_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
        "WASL_PEPPER": base64.b64encode(b"p" * 32).decode(),
        "WASL_COUNTRY_PACK": str(_pack_folder()),
        "WASL_NOTIFY_SPOOL": str(tmp_path / "spool"),
        "WASL_SMTP_HOST": "relay.test",
        "WASL_SMTP_FROM": "info@example.org",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def _pack_folder():
    from pathlib import Path

    return Path(__file__).parents[3] / "deploy" / "country-packs" / "ma"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"WASL_NOTIFY_SPOOL": None}, "WASL_NOTIFY_SPOOL is not set"),
        ({"WASL_COUNTRY_PACK": None}, "WASL_COUNTRY_PACK is not set"),
        ({"WASL_SMTP_FROM": None}, "needs WASL_SMTP_FROM"),
        ({"WASL_SMTP_FROM": "a@b\r\nBcc: c@d"}, "WASL_SMTP_FROM is wrong: expected a plain"),
        ({"WASL_SMTP_USER": "hub"}, "go together"),
        (
            {
                "WASL_SMTP_USER": "hub",
                "WASL_SMTP_PASSWORD": "zircon",
                "WASL_SMTP_STARTTLS": "offered",
            },
            "must be required or implicit",
        ),
        ({"WASL_SMTP_STARTTLS": "maybe"}, "WASL_SMTP_STARTTLS is wrong"),
    ],
)
def test_wrong_settings_are_named(env, changes, says):
    for name, value in changes.items():
        env.delenv(name) if value is None else env.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        read(NotifySettings)
    assert says in str(error.value)
    assert "zircon" not in str(error.value)


async def test_the_service_is_built_and_consumes_what_the_topics_say(env):
    service = build(read(NotifySettings))
    named = {t.name for t in topics.registry() if "notify" in t.consumers}
    assert set(service.consumer.routes) == named
    await service.store.close()


@pytest.mark.parametrize("broken", ["pack", "texts", "channels", "authority", "notice", "spool"])
async def test_what_build_refuses(env, tmp_path, broken):
    channels = tmp_path / "channels.json"
    env.setenv("WASL_NOTIFY_CHANNELS", str(channels))
    channels.write_text("{}")
    says = {
        "pack": "WASL_COUNTRY_PACK: country pack",
        "texts": "notification_sender: expected a text",
        "channels": "WASL_NOTIFY_CHANNELS: .*channels.json: cannot be read",
        "authority": "has no authority nobody; expected some of .*dgsn",
        "notice": "there is no mail relay",
        "spool": "WASL_NOTIFY_SPOOL: cannot make",
    }[broken]
    if broken == "pack":
        env.setenv("WASL_COUNTRY_PACK", str(tmp_path))
    if broken == "texts":
        copy = tmp_path / "pack"
        _copy_without(_pack_folder(), copy, "notification_sender")
        env.setenv("WASL_COUNTRY_PACK", str(copy))
    if broken == "channels":
        channels.unlink()
    if broken == "authority":
        channels.write_text('{"authorities": {"nobody": {"channel": "file"}}}')
    if broken == "notice":
        door = {"channel": "file", "notice": "desk@example.org"}
        channels.write_text(json.dumps({"authorities": {"dgsn": door}}))
        env.delenv("WASL_SMTP_HOST")
    if broken == "spool":
        (tmp_path / "spool").write_text("a file")
    with pytest.raises(SettingsError, match=says):
        build(read(NotifySettings))


def _copy_without(source, target, key):
    import shutil

    shutil.copytree(source, target)
    for file in (target / "texts").glob("*.json"):
        texts = json.loads(file.read_text("utf-8"))
        texts.pop(key, None)
        file.write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
