# SPDX-License-Identifier: Apache-2.0
"""The quality scale tells lies from facts: each kind of lie, told once."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import skeleton
from pydantic import BaseModel, Field
from wasl_connector_sdk import Connector, ConnectorConfig, Idempotency
from wasl_connector_sdk import __main__ as command
from wasl_connector_sdk.layout import Layout
from wasl_connector_sdk.quality import (
    BEGIN,
    RULES,
    QualityError,
    Report,
    fresh,
    judge,
    load,
    read,
    run,
    section,
)
from wasl_connector_sdk.scaffold import create

TODAY = date(2026, 11, 22)
#: What a fresh skeleton does not have.
OPEN = {"runbook", "sandbox-test", "withdrawal"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A distribution with a connector of its own name, for modules are imported once."""
    name = "probe_" + re.sub(r"\W", "", tmp_path.name.lower())[-12:]
    layout = Layout(tmp_path / "dist", external=True)
    create(name, layout)
    monkeypatch.syspath_prepend(str(layout.src))
    report = Report()
    subject = load(name, layout.entries()[name], layout, report)
    assert report.errors == []
    return SimpleNamespace(name=name, layout=layout, subject=subject, file=layout.quality(name))


def say(made, rule, value):
    """Writes one claim into the quality file."""
    text = made.file.read_text(encoding="utf-8")
    changed = re.sub(rf"^{rule} = .*$", f"{rule} = {value}", text, flags=re.MULTILINE)
    assert changed != text
    made.file.write_text(changed, encoding="utf-8")


def told(made, **changes):
    """What is said about the connector, or about one that differs from it."""
    subject = replace(made.subject, **changes)
    entries, wrong = read(made.file.read_text(encoding="utf-8"))
    report = Report(errors=wrong)
    judge(subject, entries, TODAY, report)
    return report


def lie(made, rule, **changes):
    say(made, rule, '"done"')
    (error,) = told(made, **changes).errors
    start = f"{made.name}: {rule} is not done: "
    assert error.startswith(start)
    return error.removeprefix(start)


def kind(made, *bases, config=None, without=(), **manifest):
    """The connector with another manifest, other abilities or another config."""
    original = made.subject.kind
    members = {
        k: v for k, v in vars(original).items() if k not in {"__dict__", "__weakref__", *without}
    }
    members["manifest"] = replace(original.manifest, **manifest)
    members["Config"] = config or original.Config
    return type(original.__name__, (*bases, Connector), members)


# -- the truth --


def test_a_fresh_file_claims_nothing_and_what_is_met_is_told(made):
    entries, wrong = read(made.file.read_text(encoding="utf-8"))
    assert wrong == []
    assert {entry.status for entry in entries.values()} == {"todo"}
    report = told(made)
    assert report.errors == []
    met = {rule.name for rule in RULES if rule.check} - OPEN
    (note,) = report.notes
    assert set(re.search(r"todo and met: (.*) \(", note)[1].split(", ")) == met
    assert {line.split(": ")[1] for line in report.open} == {r.name for r in RULES} - met


def test_what_is_claimed_and_met_is_silent(made):
    for rule in RULES:
        if rule.check and rule.name not in OPEN:
            say(made, rule.name, '"done"')
    report = told(made)
    assert (report.errors, report.notes) == ([], [])


def test_every_rule_is_checked_or_says_why_not():
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert (rule.check is None) == bool(rule.unchecked), rule.name
    assert {rule.name for rule in RULES if rule.unchecked} == {"load-figure", "two-maintainers"}


def test_every_check_can_fail():
    """Each has a lie below."""
    here = Path(__file__).read_text(encoding="utf-8")
    for rule in RULES:
        if rule.check:
            assert f'lie(made, "{rule.name}"' in here or f'say(made, "{rule.name}"' in here, (
                rule.name
            )


# -- lies, one of each kind --


def test_conformance_without_a_test(made):
    made.layout.conformance(made.name).unlink()
    assert "connector = " in lie(made, "conformance")


def test_conformance_of_another_connector(made):
    path = made.layout.conformance(made.name)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"connector = \w+", "connector = Other", text), encoding="utf-8")
    assert made.subject.kind.__name__ in lie(made, "conformance")


def test_conformance_that_only_names_the_connector(made):
    path = made.layout.conformance(made.name)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("(ConnectorContract)", ""), encoding="utf-8")
    assert lie(made, "conformance")


def test_mapping_tests_that_are_not_there(made):
    made.layout.test(made.name).unlink()
    assert "no test" in lie(made, "mapping-tests")


def test_mapping_tests_without_a_test(made):
    text = f"from {made.layout.module(made.name)} import to_json\n\nSHOWN = to_json\n"
    made.layout.test(made.name).write_text(text, encoding="utf-8")
    assert "no test" in lie(made, "mapping-tests")


def test_mapping_tests_of_something_else(made):
    made.layout.test(made.name).write_text("def test_it():\n    assert True\n", encoding="utf-8")
    assert "no test" in lie(made, "mapping-tests")


def test_nobody_owns_it(made):
    assert "empty" in lie(made, "owner", kind=kind(made, owner=" "))


def test_a_page_that_is_not_there(made):
    assert "docs/none.md" in lie(made, "docs-page", kind=kind(made, docs="docs/none.md"))


def test_a_section_that_is_not_there(made):
    assert "#none" in lie(made, "docs-page", kind=kind(made, docs="README.md#none"))


@pytest.mark.parametrize("heading", ["Account", "What is sent", "Answers", "Limits"])
def test_a_page_without_a_section(made, heading):
    page = made.layout.page(made.name)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(f"## {heading}\n", "## Something\n"), encoding="utf-8")
    assert lie(made, "docs-sections") == f"the page has nothing under {heading}"


def test_a_heading_with_nothing_under_it(made):
    page = made.layout.page(made.name)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.partition("## Limits")[0] + "## Limits\n\n", encoding="utf-8")
    assert "Limits" in lie(made, "docs-sections")


class _Inner(BaseModel):
    address: str


class _Config(ConnectorConfig):
    base_url: str = Field(default="", description="Where")
    token: str = ""
    inner: dict[str, _Inner] = Field(default_factory=dict, description="More")


def test_a_field_nobody_describes(made):
    said = lie(made, "config-described", kind=kind(made, config=_Config))
    assert "no description: token, inner.address" in said
    assert "not on the page: inner" in said


def test_a_field_the_page_does_not_name(made):
    page = made.layout.page(made.name)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("base_url", "address"), encoding="utf-8")
    assert lie(made, "config-described") == "not on the page: base_url"


def test_nothing_is_heard_of_a_request(made):
    assert "status()" in lie(made, "answers", kind=kind(made, without={"status"}))


def test_no_idempotency(made):
    nothing = kind(made, idempotency=Idempotency.NONE)
    assert "none" in lie(made, "idempotency", kind=nothing)


def test_a_lookup_that_is_not_there(made):
    nothing = kind(made, idempotency=Idempotency.LOOKUP)
    assert "find()" in lie(made, "idempotency", kind=nothing)


def test_no_runbook(made):
    assert "Runbook" in lie(made, "runbook")
    page = made.layout.page(made.name)
    page.write_text(page.read_text(encoding="utf-8") + "\n## Runbook\n\nCall.\n", encoding="utf-8")
    assert told(made).errors == []


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, ""),
        (90, ""),
        (91, "more than 90 days ago"),
        (-1, "in the future"),
        (None, "no 'recorded'"),
    ],
)
def test_a_sandbox_run_that_is_old_or_never_was(made, days, said):
    recorded = f", recorded = {TODAY - timedelta(days=days)}" if days is not None else ""
    say(made, "sandbox-test", f'{{ status = "done"{recorded} }}')
    errors = told(made).errors
    assert bool(errors) == bool(said)
    assert all(said in error for error in errors)


def test_nothing_can_be_taken_back(made):
    assert "withdraw()" in lie(made, "withdrawal")

    class Withdrawing:
        async def withdraw(self, reference, reason):
            """Nothing."""

    assert told(made, kind=kind(made, Withdrawing)).errors == []


@pytest.mark.parametrize(
    "comment", ["# type: ignore", "#type:ignore[misc]", "# mypy: ignore-errors"]
)
def test_ignored_types(made, comment):
    source = made.layout.source(made.name)
    lines = source.read_text(encoding="utf-8").count("\n")
    with source.open("a", encoding="utf-8") as file:
        file.write(f"X = 1  {comment}\n")
    assert lie(made, "strict-typing") == f"types are ignored at connector.py:{lines + 1}"


def test_words_about_types_are_no_ignore(made):
    with made.layout.source(made.name).open("a", encoding="utf-8") as file:
        file.write('X = "# type: ignore"\n')
    say(made, "strict-typing", '"done"')
    assert told(made).errors == []


# -- broken files --


@pytest.mark.parametrize(
    ("rule", "value", "said"),
    [
        ("owner", '"certainly"', "owner: expected one of done, todo, exempt"),
        ("owner", "true", "owner: expected one of"),
        ("owner", '{ status = "done", because = "x" }', "owner: expected one of"),
        ("owner", '{ comment = "x" }', "owner: expected one of"),
        ("owner", '"exempt"', "owner: exempt needs a comment"),
        ("owner", '{ status = "exempt", comment = "  " }', "owner: exempt needs a comment"),
        ("owner", '{ status = "exempt", comment = 1 }', "owner: exempt needs a comment"),
        ("sandbox-test", '{ status = "done", recorded = "2026-11-01" }', "sandbox-test: expected"),
        (
            "sandbox-test",
            '{ status = "done", recorded = 2026-11-01T10:00:00 }',
            "sandbox-test: expected",
        ),
    ],
)
def test_a_value_that_is_none(made, rule, value, said):
    say(made, rule, value)
    (error,) = told(made).errors
    assert error.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bronze", "cannot be read"),
        (fresh() + 'speed = "done"\n', "gold.speed is no rule"),
        (fresh() + '[platinum]\nshine = "done"\n', "platinum.shine is no rule"),
        ('owner = "done"\n' + fresh(), "owner. is no rule"),
        (fresh().replace('owner = "todo"\n', ""), "owner (bronze) is missing"),
    ],
)
def test_a_file_that_is_wrong(made, text, said):
    made.file.write_text(text, encoding="utf-8")
    assert any(said in error for error in read(made.file.read_text(encoding="utf-8"))[1])


def test_a_rule_in_another_tier(made):
    text = fresh().replace('owner = "todo"\n', "").replace("[gold]\n", '[gold]\nowner = "todo"\n')
    made.file.write_text(text, encoding="utf-8")
    assert read(made.file.read_text(encoding="utf-8"))[1] == ["gold.owner is no rule"]


def test_an_exemption_counts_and_one_that_is_not_needed_is_told(made):
    say(made, "withdrawal", '{ status = "exempt", comment = "Acme keeps all" }')
    assert not [n for n in told(made).notes if "exempt" in n]
    say(made, "owner", '{ status = "exempt", comment = "nobody" }')
    assert [n for n in told(made).notes if "owner is exempt and met" in n]


# -- the command --


def test_the_tree_as_it_is_tells_no_lies():
    report = run(Layout(skeleton.ROOT), datetime.now(UTC).date(), check=True)
    assert report.errors == []


def test_missing_files_are_written_and_never_by_a_check(made):
    made.file.unlink()
    report = run(made.layout, TODAY, check=True)
    assert [e for e in report.errors if "make quality" in e]
    assert not made.file.exists()
    assert run(made.layout, TODAY).errors == []
    assert made.file.read_text(encoding="utf-8") == fresh()


def test_a_file_about_nobody(made):
    made.layout.quality("nobody").write_text(fresh(), encoding="utf-8")
    assert run(made.layout, TODAY).errors == ["quality/nobody.toml is about no declared connector"]


def test_a_claim_marks_what_is_met_and_nothing_else(made):
    run(made.layout, TODAY, claim=frozenset({made.name}))
    entries, _ = read(made.file.read_text(encoding="utf-8"))
    still = {name for name, entry in entries.items() if entry.status == "todo"}
    assert still == OPEN | {rule.name for rule in RULES if not rule.check}
    with pytest.raises(QualityError, match="nobody"):
        run(made.layout, TODAY, claim=frozenset({"nobody"}))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{module}:Absent", "AttributeError"),
        ("absent_module:X", "ModuleNotFoundError"),
        ("{module}:OUTCOMES", "no Connector"),
    ],
)
def test_an_entry_that_leads_nowhere(made, value, said):
    report = Report()
    module = made.layout.module(made.name)
    assert load(made.name, value.format(module=module), made.layout, report) is None
    assert said in report.errors[0]


def test_a_stale_table_fails_a_check_and_is_written_again(tmp_path):
    root = skeleton.tree(tmp_path)
    page = root / "docs/connectors.md"
    with page.open("a", encoding="utf-8") as file:
        file.write("After.\n")
    skeleton.passes(root, "wasl_connector_sdk", "quality")
    fine = page.read_text(encoding="utf-8")
    head, _, rest = fine.partition(BEGIN)
    stale = head + BEGIN + rest.replace("| `webhook` |", "| `nobody` |")
    assert stale != fine
    page.write_text(stale, encoding="utf-8")
    (error,) = run(Layout(root), TODAY, check=True).errors
    assert "is stale" in error
    assert page.read_text(encoding="utf-8") == stale
    assert skeleton.run(root, "wasl_connector_sdk", "quality", "--check").returncode == 1
    skeleton.passes(root, "wasl_connector_sdk", "quality")
    assert page.read_text(encoding="utf-8") == fine
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--check")


def test_a_lie_fails_the_command(tmp_path):
    root = skeleton.tree(tmp_path)
    file = root / "services/platform-gateway/quality/webhook.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('withdrawal = "todo"', 'withdrawal = "done"'), encoding="utf-8")
    done = skeleton.run(root, "wasl_connector_sdk", "quality", "--check")
    assert done.returncode == 1
    assert "webhook: withdrawal is not done: it has no withdraw()" in done.stderr


def test_an_error_leaves_every_file_as_it_was(tmp_path):
    root = skeleton.tree(tmp_path)
    skeleton.passes(root, "wasl_connector_sdk", "new", "acme")
    stray = root / "services/platform-gateway/quality/nobody.toml"
    stray.write_text(fresh(), encoding="utf-8")
    (root / "services/platform-gateway/quality/reference.toml").unlink()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = skeleton.run(root, "wasl_connector_sdk", "quality", "--claim", "acme")
    assert done.returncode == 1
    after = {path: path.read_bytes() for path in before if path.exists()}
    assert after == before
    assert not (root / "services/platform-gateway/quality/reference.toml").exists()
    stray.unlink()
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--claim", "acme")
    acme = (root / "services/platform-gateway/quality/acme.toml").read_text(encoding="utf-8")
    assert 'conformance = "done"' in acme


def test_a_page_without_markers(tmp_path, capsys):
    root = skeleton.tree(tmp_path)
    page = root / "docs/connectors.md"
    text = page.read_text(encoding="utf-8").replace(BEGIN, "")
    page.write_text(text, encoding="utf-8")
    assert command.main(["--root", str(root), "quality"]) == 1
    assert BEGIN in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == text


def test_a_section_ends_at_the_next_of_its_level_and_code_has_no_headings():
    page = "# a\n\n## What is sent\nx\n### more\ny\n```sh\n# Limits\n```\n## Limits\nz\n"
    assert section(page, "what-is-sent") == "x\n### more\ny\n```sh\n# Limits\n```"
    assert section(page, "limits") == "z"
    assert section(page, "absent") == ""
