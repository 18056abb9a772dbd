# SPDX-License-Identifier: Apache-2.0
"""What may be given as a location, and what leads somewhere it must not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from wasl_intake.domain.locations import clean

FINE = [
    "https://example.com/a",
    "HTTPS://WWW.EXAMPLE.COM:443/x?y#z",
    "hxxps://example[.]net/poste",
    "hxxps[:]//example(.)net/",
    "youtu.be/FICTIF00019?si=F",
    "instagram.com/p/F/#comments",
    "tg://resolve?domain=x&post=7",
    "@exemple_fictif",
    "exemple.fictif.0012",
    "exemple_fictif_0003",
    "+212 6 00 00 00 00",
    "06 00 00 00 00",
    "06.00.00.00.00",
    "0600000000",
    "someone@example.org",
    "example.com",
    "example.com:8443/x",
    "https://مثال.example/ص",
    "http://8.8.8.8/x",
    "http://[2606:4700::1111]/",
    "user#1234",
    "حساب_وهمي",
    "whatsapp://send?phone=1",
    "https://a@example.com/",
    "1.1.1.1",
    "http://example.onion/",
]
REFUSED = [
    "javascript:alert(1)",
    "JaVaScript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://example.com",
    "http://localhost/",
    "localhost",
    "localhost:8080/a",
    "http://127.0.0.1:8080/admin",
    "127.0.0.1",
    "127.1",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://10.0.0.1",
    "192.168.1.1",
    "169.254.169.254/latest",
    "http://169.254.169.254",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://foo.local/",
    "foo.internal",
    "http://a@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://%6c%6fcalhost/",
    "http://１２７.0.0.1/",
    "http://intranet/",
    "https://",
    "http:example.com",
    "https:///x",
    "//example.com/x",
    "x\r\ny",
    "https://example.com/\r\nSet-Cookie: a",
    "a b c",
    "",
    "   ",
    "vbscript:x",
    "http://example.com:99999/",
    "mailto:a@example.org",
    "about:blank",
    "blob:https://example.com/x",
    "http://a..b/",
    "http://224.0.0.1/",
    "view-source:https://example.com",
    "tel:0600000000",
    "http://127.0.0.1.",
    "http://localhost./",
    "example.com\x00",
    "hxxp://127[.]0[.]0[.]1/",
    "10.10.10.10",
    "0.0.0.0",
    "http://0/",
    "[::1]",
    "http://[fe80::1%25eth0]/",
]


@pytest.mark.parametrize("text", FINE)
def test_kept_as_typed(text: str) -> None:
    assert clean(text) == text
    assert clean(f"  {text} ") == text


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        clean(text)
    assert caught.value.context
    assert caught.value.context["fix"]
    assert len(text.strip()) < 6 or text.strip() not in caught.value.message()


def test_marks_of_copied_right_to_left_text_go_and_letters_are_composed() -> None:
    assert clean("\u200fhttps://example.com/\u202aa\u202c\ufeff") == "https://example.com/a"
    assert clean("@cafe\u0301") == "@café"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        kept = clean(text)
    except PydanticCustomError:
        return
    assert kept
    assert clean(kept) == kept
    assert not any(ord(c) < 32 for c in kept)
