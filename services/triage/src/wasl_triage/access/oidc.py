# SPDX-License-Identifier: Apache-2.0
"""Signing in at another organisation's service: OpenID Connect, authorization code with PKCE.

Facts: OpenID Connect Core 1.0 §3.1, Discovery 1.0, RP-Initiated Logout 1.0; RFC 7636 (PKCE), RFC
9207 (issuer in the answer), RFC 9700 (best current practice), RFC 8725 (JWT). Tokens are looked at
and forgotten: none is stored, none is used for anything else.
"""

import base64
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import Field, TypeAdapter, ValidationError, field_validator
from wasl_chassis.clock import Clock
from wasl_chassis.settings import SettingsError
from wasl_schemas.base import Model, Slug
from wasl_schemas.taxonomy import Words

from wasl_triage.access.accounts import Queues
from wasl_triage.domain.people import EVERY_QUEUE, Role

log = logging.getLogger(__name__)

#: Signatures by keys the provider publishes; never "none", never a shared secret.
ALGORITHMS = ("RS256", "ES256", "PS256")
SKEW = timedelta(seconds=60)
#: An ID token is asked for and looked at within a moment.
_OLDEST = timedelta(minutes=10)
_KEPT, _AGAIN = timedelta(hours=1), timedelta(seconds=30)
_LIMIT = 262_144
_TIMEOUT = httpx.Timeout(5.0)
Why = Literal["away", "refused", "answer", "token", "not_mapped", "name", "disabled"]


class ProviderFailure(Exception):  # noqa: N818
    """Nobody was signed in. ``why``: away (try again, or a local account), refused (by the person
    or the service), answer (of another browser, another flow, or used before), token (does not
    hold), not_mapped, name, disabled. ``detail``: constant words for the operator's log.
    """

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why: Why = why


class Grant(Model):
    """What people with one value of the claim may do."""

    roles: frozenset[Role] = Field(min_length=1)
    queues: Queues = Field(default=frozenset({EVERY_QUEUE}), min_length=1)


class Provider(Model):
    """The file that ``WASL_TRIAGE_OIDC`` names."""

    issuer: str
    client_id: str = Field(min_length=1)
    #: None: a public client, which PKCE alone protects.
    secret_file: Path | None = None
    scopes: tuple[str, ...] = ("profile",)
    #: The claim a new account is named after, and the one that says what its person may do.
    name_claim: str = "preferred_username"
    claim: str = "groups"
    map: dict[str, Grant] = Field(min_length=1)
    #: Values of ``acr`` and ``amr`` that mean a second factor; without one, ours is asked for.
    acr: frozenset[str] = frozenset()
    amr: frozenset[str] = frozenset()
    #: What the button says; by language.
    title: Words = Field(default_factory=dict)

    @field_validator("issuer")
    @classmethod
    def _over_tls(cls, value: str) -> str:
        if not _secure(value):
            raise ValueError("expected https://HOST... (http on loopback only)")
        return value

    def granted(self, claims: Mapping[str, Any]) -> Grant | None:
        """All that the claim's values give together; None: nothing."""
        held = claims.get(self.claim)
        values = [held] if isinstance(held, str) else held if isinstance(held, list) else []
        grants = [self.map[v] for v in values if isinstance(v, str) and v in self.map]
        if not grants:
            return None
        return Grant(
            roles=frozenset(r for g in grants for r in g.roles),
            queues=frozenset(q for g in grants for q in g.queues),
        )

    def second_factor(self, claims: Mapping[str, Any]) -> bool:
        amr = claims.get("amr")
        methods = {m for m in amr if isinstance(m, str)} if isinstance(amr, list) else set()
        acr = claims.get("acr")
        return (isinstance(acr, str) and acr in self.acr) or bool(self.amr & methods)


def read_provider(path: Path) -> Provider:
    """Raises SettingsError that names the file and what is wrong."""
    try:
        return Provider.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"WASL_TRIAGE_OIDC: cannot read {path} ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = ".".join(str(p) for p in first["loc"])
        raise SettingsError(
            f"WASL_TRIAGE_OIDC: {path} at {at or 'the beginning'}: {first['msg']}; see"
            " docs/architecture/people.md"
        ) from None


def _secret(path: Path | None) -> str | None:
    try:
        return None if path is None else path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"WASL_TRIAGE_OIDC: cannot read the client's secret {path} ({error.strerror})"
        ) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to sign in, to be kept until its answer: what the answer must fit."""

    nonce: str
    verifier: str
    started_at: datetime
    #: The person must prove again who they are.
    again: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says it is."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]


class _Endpoints(Model):
    """The part of a provider's metadata that is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Oidc:
    """One provider, as its client. ``back``: our address that answers are sent to."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        *,
        back: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.provider = provider
        self._clock, self._back = clock, back
        self._client_secret = _secret(provider.secret_file)
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT, trust_env=False, follow_redirects=False, transport=transport
        )
        self._endpoints: tuple[datetime, _Endpoints] | None = None
        self._keys: tuple[datetime, KeySet] | None = None

    async def close(self) -> None:
        await self._http.aclose()

    # -- there -----------------------------------------------------------------------------------

    async def ask(self, state: str, lang: str, *, again: bool = False) -> tuple[str, Asked]:
        """Where to send the browser, and what to keep. ``state``: random, the flow's name.

        Raises ProviderFailure.
        """
        endpoints = await self._metadata()
        asked = Asked(
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            started_at=self._clock.now(),
            again=again,
        )
        challenge = hashlib.sha256(asked.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self._back,
            "scope": " ".join(dict.fromkeys(("openid", *self.provider.scopes))),
            "state": state,
            "nonce": asked.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "ui_locales": lang,
        }
        if again:
            query |= {"prompt": "login", "max_age": "0"}
        if self.provider.acr:
            query["acr_values"] = " ".join(sorted(self.provider.acr))
        glue = "&" if "?" in endpoints.authorization_endpoint else "?"
        return f"{endpoints.authorization_endpoint}{glue}{urlencode(query)}", asked

    async def way_out(self, back: str) -> str | None:
        """Where the browser ends the provider's own session; None where that is not offered."""
        try:
            address = (await self._metadata()).end_session_endpoint
        except ProviderFailure:
            return None
        if address is None:
            return None
        query = {"client_id": self.provider.client_id, "post_logout_redirect_uri": back}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    # -- and back --------------------------------------------------------------------------------

    async def identify(self, answer: Mapping[str, str], asked: Asked) -> Identity:
        """Who came back. ``answer``: the query; its ``state`` has led to ``asked`` already.

        Raises ProviderFailure; nothing of the answer is quoted.
        """
        endpoints = await self._metadata()
        told = answer.get("iss")
        if told is None and endpoints.authorization_response_iss_parameter_supported:
            raise ProviderFailure("answer", "the answer names no issuer")
        if told is not None and told != endpoints.issuer:
            raise ProviderFailure("answer", "the answer is of another issuer")
        if "error" in answer:
            away = answer["error"] in ("server_error", "temporarily_unavailable")
            raise ProviderFailure("away" if away else "refused", "the service answered an error")
        if not answer.get("code"):
            raise ProviderFailure("answer", "the answer has no code")
        tokens = await self._redeem(endpoints, answer["code"], asked.verifier)
        claims = await self._verified(endpoints, tokens.get("id_token"), asked)
        access = tokens.get("access_token")
        wanted = (self.provider.claim, self.provider.name_claim)
        if (
            any(claim not in claims for claim in wanted)
            and endpoints.userinfo_endpoint is not None
            and isinstance(access, str)
        ):
            claims = await self._completed(endpoints.userinfo_endpoint, access, claims)
        return Identity(endpoints.issuer, claims["sub"], claims)

    async def _redeem(self, endpoints: _Endpoints, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": verifier,
        }
        auth: tuple[str, str] | None = None
        offered = endpoints.token_endpoint_auth_methods_supported
        if self._client_secret is None:
            form["client_id"] = self.provider.client_id
        elif "client_secret_basic" in offered or "client_secret_post" not in offered:
            # RFC 6749 §2.3.1: both are form-encoded first.
            auth = quote(self.provider.client_id, safe=""), quote(self._client_secret, safe="")
        else:
            form |= {"client_id": self.provider.client_id, "client_secret": self._client_secret}
        return await self._json(
            "POST", endpoints.token_endpoint, refusal="token", data=form, auth=auth
        )

    async def _verified(self, endpoints: _Endpoints, token: Any, asked: Asked) -> dict[str, Any]:
        """The claims of an ID token that holds (Core §3.1.3.7)."""
        if not isinstance(token, str):
            raise ProviderFailure("token", "no ID token came")
        claims = await self._signed(endpoints, token)
        now = self._clock.now().timestamp()
        skew = SKEW.total_seconds()
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        mine = self.provider.client_id
        times = [claims.get(name) for name in ("exp", "iat")]
        numbers = [float(t) for t in times if isinstance(t, int | float) and type(t) is not bool]
        nonce = claims.get("nonce")
        checks = (
            ("iss", claims.get("iss") == endpoints.issuer),
            ("aud", isinstance(audiences, list) and mine in audiences),
            ("azp", claims.get("azp", mine) == mine),
            (
                "azp of several aud",
                not isinstance(audiences, list) or len(audiences) < 2 or "azp" in claims,
            ),
            ("sub", isinstance(claims.get("sub"), str) and 0 < len(claims["sub"]) <= 255),
            ("exp, iat", len(numbers) == 2),
            ("exp", len(numbers) == 2 and now < numbers[0] + skew),
            (
                "iat",
                len(numbers) == 2
                and numbers[1] <= now + skew
                and numbers[1] >= now - _OLDEST.total_seconds(),
            ),
            (
                "nonce",
                isinstance(nonce, str)
                and hmac.compare_digest(nonce.encode(errors="replace"), asked.nonce.encode()),
            ),
            ("auth_time", not asked.again or _since(claims.get("auth_time"), asked, skew)),
        )
        for name, holds in checks:
            if not holds:
                raise ProviderFailure("token", f"the ID token's {name} does not hold")
        return claims

    async def _signed(self, endpoints: _Endpoints, token: str) -> dict[str, Any]:
        """The claims, once a key of the provider's signed them; new keys are fetched when an
        unknown one did, at most every :data:`_AGAIN`.
        """
        for fresh in (False, True):
            fetched_at, keys = await self._key_set(endpoints, fresh=fresh)
            try:
                return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError, TypeError) as error:
                recent = self._clock.now() - fetched_at < _AGAIN
                if fresh or recent:
                    log.warning("an ID token does not hold", extra={"error": type(error).__name__})
                    raise ProviderFailure("token", "the ID token is not signed") from None
        raise AssertionError  # the second turn returns or raises

    async def _key_set(self, endpoints: _Endpoints, *, fresh: bool) -> tuple[datetime, KeySet]:
        now = self._clock.now()
        held = self._keys
        if held is not None and not fresh and now - held[0] < _KEPT:
            return held
        found = await self._json("GET", endpoints.jwks_uri)
        listed = found.get("keys")
        usable = [
            key
            for key in (listed if isinstance(listed, list) else [])
            if isinstance(key, dict)
            and key.get("kty") in ("RSA", "EC")
            and key.get("use", "sig") == "sig"
        ]
        try:
            keys = KeySet.import_key_set(cast("Any", {"keys": usable}))
        except (JoseError, ValueError, TypeError, KeyError):
            raise ProviderFailure("away", "the service publishes no usable keys") from None
        self._keys = now, keys
        return self._keys

    async def _completed(self, address: str, access: str, claims: dict[str, Any]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {access}"}
        more = await self._json("GET", address, headers=headers)
        if more.get("sub") != claims["sub"]:
            raise ProviderFailure("token", "userinfo is about somebody else")
        return {**more, **claims}

    # -- the wire --------------------------------------------------------------------------------

    async def _metadata(self) -> _Endpoints:
        now = self._clock.now()
        if self._endpoints is not None and now - self._endpoints[0] < _KEPT:
            return self._endpoints[1]
        issuer = self.provider.issuer
        found = await self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            endpoints = _Endpoints.model_validate(found, extra="ignore")
        except ValidationError:
            raise ProviderFailure("away", "the service's metadata is incomplete") from None
        if endpoints.issuer != issuer:
            raise ProviderFailure("away", "the service's metadata is of another issuer")
        addresses = (
            endpoints.authorization_endpoint,
            endpoints.token_endpoint,
            endpoints.jwks_uri,
            endpoints.userinfo_endpoint,
            endpoints.end_session_endpoint,
        )
        if not all(_secure(a) for a in addresses if a is not None):
            raise ProviderFailure("away", "the service's metadata names an insecure address")
        self._endpoints = now, endpoints
        return endpoints

    async def _json(
        self, method: str, address: str, *, refusal: Why = "away", **options: Any
    ) -> dict[str, Any]:
        """The JSON object at an address of the provider's. ``refusal``: what a 4xx means."""
        headers = {"accept": "application/json", **options.pop("headers", {})}
        try:
            async with self._http.stream(method, address, headers=headers, **options) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _LIMIT:
                        raise ProviderFailure("away", "the service's answer is too large")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the sign-in service is away", extra={"error": type(error).__name__})
            raise ProviderFailure("away", "the service does not answer") from None
        if answer.status_code != 200:
            log.warning("the sign-in service refused", extra={"status": answer.status_code})
            known = 400 <= answer.status_code < 500
            raise ProviderFailure(refusal if known else "away", "the service refused us")
        try:
            return _OBJECT.validate_json(body)
        except ValidationError:
            raise ProviderFailure("away", "the service's answer is not JSON") from None


def named(provider: Provider, claims: Mapping[str, Any]) -> Slug | None:
    """The desk's name for somebody new: their claim, in the letters a name has; None: no claim."""
    held = claims.get(provider.name_claim)
    if not isinstance(held, str):
        return None
    name = re.sub(r"[^a-z0-9_.-]+", "-", held.lower()).strip("-._")[:80]
    return name or None


def _since(auth_time: Any, asked: Asked, skew: float) -> bool:
    return isinstance(auth_time, int | float) and auth_time >= asked.started_at.timestamp() - skew


def _secure(address: str) -> bool:
    """https, or http to this machine; nothing that hides a query or a user."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")
    )
