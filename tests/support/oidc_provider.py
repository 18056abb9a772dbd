# SPDX-License-Identifier: Apache-2.0
"""A conforming OpenID provider in this process, whose every answer a test can bend.

Discovery, keys, authorization code with PKCE, userinfo, as OpenID Connect Core 1.0 has them. It
refuses what a provider must: an unknown client, another address to send back to, a code used twice,
a verifier that does not fit.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ISSUER = "https://id.example.org/realms/hub"


class OidcProvider(httpx.AsyncBaseTransport):
    """As httpx's transport it answers what is asked of :data:`ISSUER`."""

    def __init__(self, now: Callable[[], float], *, secret: str | None = "client secret ü") -> None:
        self.issuer = ISSUER
        self.client_id, self.secret = "wasl desk", secret
        self.back = "https://desk.example.org/fr/sign-in/back"
        self._now = now
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.algorithm = "RS256"
        #: Claims of whoever signs in; those of ``userinfo`` come only there.
        self.claims: dict[str, Any] = {"sub": "248289761001"}
        self.userinfo: dict[str, Any] = {}
        #: What a test bends: claims put over those of the token, fields over the metadata.
        self.bent: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        #: Made into the token instead of signing; of the claims.
        self.forge: Callable[[dict[str, Any]], str] | None = None
        #: Paths that answer this instead: a status, or an exception.
        self.broken: dict[str, int | Exception] = {}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()

    def rotate(self, key: RSAKey | ECKey, *, keep: bool = False, algorithm: str = "RS256") -> None:
        self.key, self.algorithm = key, algorithm
        self.published = [*(self.published if keep else []), key]

    # -- the browser -----------------------------------------------------------------------------

    def agree(self, address: str, **bent: str | None) -> dict[str, str]:
        """The person signs in at ``address``; what the browser is sent back with."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/auth"
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        assert (query["client_id"], query["redirect_uri"]) == (self.client_id, self.back)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.issuer, **bent}
        return {k: v for k, v in answer.items() if v is not None}

    # -- the back channel ------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/realms/hub")
        self.asked.append(path)
        broken = self.broken.get(path)
        if isinstance(broken, Exception):
            raise broken
        if broken is not None:
            return httpx.Response(broken)
        match path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self._described())
            case "/keys":
                keys = KeySet(self.published).as_dict(private=False)
                return httpx.Response(200, json=keys)
            case "/token":
                return self._token(request)
            case "/me":
                token = request.headers.get("authorization", "").removeprefix("Bearer ")
                if token not in self._tokens:
                    return httpx.Response(401)
                return httpx.Response(200, json={"sub": self.claims["sub"], **self.userinfo})
        return httpx.Response(404)

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/me",
            "end_session_endpoint": f"{self.issuer}/end",
            "response_types_supported": ["code"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode(), strict_parsing=True))
        if not self._known(request, form):
            return httpx.Response(401, json={"error": "invalid_client"})
        query = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            query is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != self.back
            or query["code_challenge"] != challenge
        ):
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(self._now())
        claims = {
            "iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300,
            "nonce": query["nonce"], "auth_time": now, **self.claims, **self.bent,
        }  # fmt: skip
        claims = {k: v for k, v in claims.items() if v is not None}
        access = secrets.token_urlsafe(16)
        self._tokens.add(access)
        body = {"token_type": "Bearer", "access_token": access, "id_token": self._signed(claims)}
        return httpx.Response(200, json=body)

    def _known(self, request: httpx.Request, form: dict[str, str]) -> bool:
        if self.secret is None:
            return form.get("client_id") == self.client_id
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, password = base64.b64decode(given).decode().partition(":")
            return (unquote(name), unquote(password)) == (self.client_id, self.secret)
        return (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.secret)

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.forge is not None:
            return self.forge(claims)
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def unsigned(claims: dict[str, Any]) -> str:
    """A token of the algorithm "none"."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."
