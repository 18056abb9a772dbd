# SPDX-License-Identifier: Apache-2.0
"""Fingerprints are made on the device: they are right, and no byte of the file leaves.

Reference values of PDQ: pdqhash 0.2.8 (Meta's own C++ code) on the same pictures, made here by
formula; SHA-256 and MD5 by hashlib.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from visitor import LOOKS, Look, Visitor
from wasl_schemas import topics

SLICE = 2**21
#: Fewer differing bits of 256 are the same picture for those who match them at 31.
NEAR = 10


def png(width: int, height: int, shade: Callable[[int, int], tuple[int, int, int]]) -> bytes:
    """A picture without loss, so that every browser sees the same."""
    rows = b"".join(
        b"\0" + bytes(c for x in range(width) for c in shade(x, y)) for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def rings(x: int, y: int) -> tuple[int, int, int]:
    return (x * x + y * y) // 97 % 256, x * 3 % 256, (x ^ y) % 256


def blocks(x: int, y: int) -> tuple[int, int, int]:
    n = (x // 37 * 7919 + y // 41 * 104729) % 251
    return n, n * 5 % 256, 255 - n


def waves(x: int, y: int) -> tuple[int, int, int]:
    return (x * y // 211) % 256, (x + 2 * y) % 256, (y * y // 300) % 256


#: name → picture, PDQ of the reference, its quality
PICTURES: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "rings": (
        lambda: png(640, 480, rings),
        "f007e0ff03ff0ffc3f08f820f825e17f81ffc4aa87e03fca3f0a96a01e009e20",
        100,
    ),
    "blocks": (
        lambda: png(333, 500, blocks),
        "33679f0dbb47fe0101fe45baf9c045bafc8049d81b4fb625fe00f4a4fe00fc80",
        100,
    ),
    "waves": (
        lambda: png(1400, 900, waves),
        "30e77cc2e945c3c78d060b0e1c0e7a1ef83ee07e80fe01fc0ff87bf8ffe0e000",
        100,
    ),
    "small": (
        lambda: png(150, 110, waves),
        "c63e29c1a25c54a3453aba41aa9d7c63554aba31aaaddc1b5556383daaab7c3c",
        73,
    ),
}


def at_the_tool(visitor: Visitor, **more: Any) -> None:
    answers = {"group": "intimate", "category": "intimate_image_abuse", "affected": "self"}
    visitor.report(until=6, **(answers | more))
    assert visitor.path == "report/6"
    visitor.page.locator("details.fingerprint summary").click()
    visitor.page.wait_for_load_state("networkidle")


def choose(visitor: Visitor, name: str, kind: str, content: bytes) -> list[str]:
    """Choose a file; the fingerprints the form then holds."""
    visitor.page.set_input_files(
        "#fingerprint-file", {"name": name, "mimeType": kind, "buffer": content}
    )
    expect(visitor.page.locator("[data-part=work]")).to_be_hidden()
    expect(visitor.page.locator("[data-part=status]")).not_to_be_empty()
    return visitor.page.locator("#fingerprints").input_value().split()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_the_fingerprints_of_the_reference(enter: Any, name: str) -> None:
    make, pdq, quality = PICTURES[name]
    content = make()
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    found = dict(line.split(":") for line in choose(visitor, "p.png", "image/png", content))
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["md5"] == hashlib.md5(content).hexdigest()
    assert (int(found["pdq"], 16) ^ int(pdq, 16)).bit_count() <= NEAR
    expect(visitor.page.locator("[data-part=status]")).to_contain_text(str(quality))


@pytest.mark.parametrize(
    "size", [1, 55, 56, 57, 63, 64, 65, 119, 120, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 77]
)
def test_any_length_is_read_right(enter: Any, size: int) -> None:
    content = bytes(i * i % 251 for i in range(997)) * (size // 997 + 1)
    content = content[:size]
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    assert choose(visitor, "v.mp4", "video/mp4", content) == [
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        f"md5:{hashlib.md5(content).hexdigest()}",
    ]


def test_nothing_of_the_file_leaves_the_device(enter: Any) -> None:
    visitor = enter(Look("ar"))
    content = png(320, 200, rings)
    at_the_tool(visitor)
    before = len(visitor.requests)
    lines = choose(visitor, "holiday-of-mine.png", "image/png", content)
    assert [r.url for r in visitor.requests[before:]] == []
    expect(visitor.page.locator("#fingerprint-file")).to_have_value("")
    visitor.answer(narrative="Somebody shows a picture of me")
    visitor.go_on()
    (post,) = [r for r in visitor.requests[before:] if r.method == "POST"]
    sent = post.post_data_buffer or b""
    assert b"holiday" not in sent
    assert len(sent) < 1_000
    for at in range(0, len(content) - 8, 8):
        assert content[at : at + 8] not in sent
    for line in lines:
        assert line.split(":")[1].encode() in sent
    visitor.step(7)
    visitor.send()
    event = visitor.world.hub.events(topics.REPORT_SUBMITTED_V1)[-1]
    stored = visitor.world.run(visitor.world.hub.content(str(event.data.report_id)))
    assert list(stored.fingerprints) == lines


def test_a_flat_picture_has_no_fingerprint_of_likeness(enter: Any) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    lines = choose(visitor, "p.png", "image/png", png(300, 300, lambda x, y: (90, 90, 90)))
    assert [line.split(":")[0] for line in lines] == ["sha256", "md5"]


def test_what_is_no_picture_is_said_and_keeps_the_exact_fingerprints(enter: Any) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    lines = choose(visitor, "p.heic", "image/heic", b"not what it says" * 9)
    assert [line.split(":")[0] for line in lines] == ["sha256", "md5"]


def test_fingerprints_can_be_removed_and_survive_a_reload(enter: Any) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    choose(visitor, "a.mp4", "video/mp4", b"a" * 100)
    kept = choose(visitor, "b.mp4", "video/mp4", b"b" * 100)
    assert len(kept) == 4
    assert choose(visitor, "again.mp4", "video/mp4", b"b" * 100) == kept
    visitor.page.locator("[data-part=list] button").first.click()
    assert visitor.page.locator("#fingerprints").input_value().split() == kept[2:]
    visitor.answer(narrative="With one of them")
    visitor.go_on()
    visitor.back()
    visitor.page.reload()
    expect(visitor.page.locator("[data-part=list] > li")).to_have_count(1)
    assert visitor.page.locator("#fingerprints").input_value().split() == kept[2:]


def test_a_long_file_can_be_stopped(enter: Any, tmp_path: Path) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    long = tmp_path / "long.mp4"
    with long.open("wb") as file:
        file.truncate(600_000_000)
    visitor.page.set_input_files("#fingerprint-file", long)
    expect(visitor.page.locator("[data-part=bar]")).to_be_visible()
    visitor.page.click("[data-part=stop]")
    expect(visitor.page.locator("[data-part=work]")).to_be_hidden()
    assert visitor.page.locator("#fingerprints").input_value() == ""
    expect(visitor.page.locator("#fingerprint-file")).to_be_enabled()


def test_no_more_than_a_report_may_hold(enter: Any) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    for n in range(11):
        lines = choose(visitor, f"{n}.mp4", "video/mp4", bytes([n]) * 9)
    assert len(lines) == 20


@pytest.mark.parametrize("look", [x for x in LOOKS if not x.script], ids=str)
def test_without_script_no_file_can_be_chosen(enter: Any, look: Look) -> None:
    visitor = enter(look)
    at_the_tool(visitor)
    expect(visitor.page.locator("#fingerprint-file")).to_be_hidden()


@pytest.mark.parametrize(
    "answers",
    [{"age": "under_18"}, {"age": "under_13"}, {"affected": "child"}, {"affected": "other"}],
    ids=str,
)
def test_never_for_pictures_of_minors_or_of_others(enter: Any, answers: dict[str, str]) -> None:
    visitor = enter(Look("fr"))
    visitor.report(until=6, group="intimate", category="intimate_image_abuse", **answers)
    expect(visitor.page.locator("#fingerprint-file")).to_have_count(0)
    helpers = visitor.page.locator('a[href*="takeitdown"]')
    assert helpers.count() >= 1
    visitor.report(until=6, group="children", category="csam")
    expect(visitor.page.locator("input[type=file]")).to_have_count(0)
    visitor.open("quick")
    expect(visitor.page.locator("input[type=file]")).to_have_count(0)


def test_a_browser_that_hides_pictures_from_pages_makes_no_false_fingerprint(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.page.add_init_script(
        "CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) =>"
        " ({ data: new Uint8ClampedArray(4 * w * h).map((_, i) => i * 7919 % 256) });"
    )
    at_the_tool(visitor)
    lines = choose(visitor, "p.png", "image/png", png(320, 200, rings))
    assert [line.split(":")[0] for line in lines] == ["sha256", "md5"]


def test_the_file_chooser_belongs_to_no_form(enter: Any) -> None:
    visitor = enter(Look("fr"))
    at_the_tool(visitor)
    chooser = visitor.page.locator("#fingerprint-file")
    assert chooser.evaluate("(e) => e.form === null && !e.name")
    assert re.search(r"image/", chooser.get_attribute("accept") or "")
