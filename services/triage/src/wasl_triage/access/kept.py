# SPDX-License-Identifier: Apache-2.0
"""A form that was sent too late after the last proof of identity, kept until it is sent again.

It is sealed (AES-256-GCM, NIST SP 800-38D) by a key that only the browser's cookie holds: neither
the database nor a master key opens it, and the address names a number that opens nothing. It
belongs to one person and is gone after :data:`LIFE`. Keeping does nothing: the form is sent again
by the person and meets every check it would have met.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import TypeAdapter
from wasl_chassis.store import Collection, Index
from wasl_chassis.vault import derive
from wasl_schemas.base import Model, Slug, Timestamp

#: Longer than a session may be silent: what is kept outlives the page that asks for the proof.
LIFE = timedelta(minutes=30)
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Form:
    """``route``: the pattern of its address; ``path``: the address below the language; ``fields``
    as they were sent, without the session's token.
    """

    route: str
    path: str
    fields: tuple[tuple[str, str], ...]


class KeptForm(Model):
    id: str
    name: Slug
    sealed: str
    ends_at: Timestamp


KEPT_FORMS: Collection[KeptForm] = Collection.of(
    "kept_forms", KeptForm, "id", (Index((("ends_at", 1),), ttl=0),)
)
_FORM = TypeAdapter(Form)


def new_word() -> str:
    """What the browser's cookie holds, for all forms it has kept."""
    return secrets.token_urlsafe(32)


def keep(word: str, name: str, form: Form, now: datetime) -> KeptForm:
    """``name``: whose it is."""
    form_id, nonce = secrets.token_hex(16), os.urandom(_NONCE)
    sealed = _key(word).encrypt(nonce, _FORM.dump_json(form), _bound(form_id, name))
    return KeptForm(
        id=form_id,
        name=name,
        sealed=base64.urlsafe_b64encode(nonce + sealed).decode(),
        ends_at=now + LIFE,
    )


def opened(word: str, name: str, kept: KeptForm, now: datetime) -> Form | None:
    """The form; None where it is over, somebody else's, or another browser's."""
    if kept.name != name or now >= kept.ends_at:
        return None
    raw = base64.urlsafe_b64decode(kept.sealed)
    try:
        plain = _key(word).decrypt(raw[:_NONCE], raw[_NONCE:], _bound(kept.id, name))
    except InvalidTag:
        return None
    return _FORM.validate_json(plain)


def _key(word: str) -> AESGCM:
    return AESGCM(derive(word.encode(errors="surrogatepass"), "desk-kept-form"))


def _bound(form_id: str, name: str) -> bytes:
    return f"{form_id}|{name}".encode()
