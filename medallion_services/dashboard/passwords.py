"""Passwords as scrypt hashes, tokens as SHA-256: pure functions, no storage."""

import base64
import hashlib
import hmac
import secrets

_N, _R, _P = 2**15, 8, 1
_MEMORY = 64 * 1024 * 1024
MIN_LENGTH, MAX_LENGTH = 10, 200


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def hash_password(password: str) -> str:
    """`scrypt$N$r$p$salt$hash`; parameters of OWASP's password storage sheet (N = 2^15, r = 8), 32 MiB.

    Raises:
        ValueError: the password is too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    salt = secrets.token_bytes(16)
    parts = (salt, _scrypt(password, salt, _N, _R, _P))
    return "$".join(["scrypt", str(_N), str(_R), str(_P), *(base64.b64encode(part).decode() for part in parts)])


def password_matches(password: str, stored: str) -> bool:
    """Whether a password belongs to a stored hash, in constant time."""
    _, n, r, p, salt, expected = stored.split("$")
    if len(password) > MAX_LENGTH:
        return False
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(expected))


UNKNOWN_USER = f"scrypt${_N}${_R}${_P}${base64.b64encode(b'0' * 16).decode()}${base64.b64encode(b'0' * 32).decode()}"
"""Compared with when there is no such user, so that the answer takes as long."""


def new_token(prefix: str = "") -> str:
    """A random value of 256 bits."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a token: it is random enough that one SHA-256 suffices."""
    return hashlib.sha256(token.encode()).hexdigest()
