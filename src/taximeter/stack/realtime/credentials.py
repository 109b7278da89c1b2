"""Who somebody is: by the key of the connection, or by a token of the stack's Auth."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

# The database login could take other roles; a token may not.
API_ROLES = frozenset({"anon", "authenticated", "service_role"})
KEY_PREFIX = "sb_"


class RefusedError(Exception):
    """The real server's code and sentence for a refusal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.message = message


@dataclass(frozen=True, slots=True)
class Identity:
    """In whose name something is asked; a key has no token and does not expire."""

    role: str
    claims: Mapping[str, Any] = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: float | None = None


class Credentials:
    """The keys of the stack and the secret that signs its tokens."""

    def __init__(self, *, publishable_key: str, secret_key: str, jwt_secret: str) -> None:
        self._roles = {publishable_key: "anon", secret_key: "service_role"}
        self._jwt_secret = jwt_secret

    def of_key(self, key: str) -> Identity | None:
        for known, role in self._roles.items():
            if hmac.compare_digest(known.encode(), key.encode(errors="replace")):
                return Identity(role, {"role": role})
        return None

    def of_token(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token,
                self._jwt_secret,
                algorithms=["HS256"],
                # Its age is judged below, in the real server's words.
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidSignatureError:
            raise RefusedError("JwtSignatureError", "Failed to validate JWT signature") from None
        except (jwt.InvalidTokenError, UnicodeError):
            raise RefusedError("MalformedJWT", "The token provided is not a valid JWT") from None
        role, expires_at = claims.get("role"), claims.get("exp")
        if role is None or not isinstance(expires_at, int | float):
            raise RefusedError("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
        if role not in API_ROLES:
            raise RefusedError("InvalidJWTToken", "The role of the JWT is none of the API's")
        identity = Identity(role, claims, token, expires_at)
        if expires_at <= time.time():
            raise RefusedError("InvalidJWTToken", expired(identity))
        return identity


def is_key(token: str) -> bool:
    """Clients send their key where nobody is signed in: then the connection's key counts."""
    return token.startswith(KEY_PREFIX)


def expired(identity: Identity) -> str:
    age = max(0, int(time.time() - (identity.expires_at or 0)))
    return f"Token has expired {age} seconds ago"
