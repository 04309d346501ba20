"""What a registry demands with 401, and the scopes of the tokens that answer it.

RFC 9110 §11 (challenges), RFC 6750 (Bearer), and the token specification of the distribution project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # RFC 9110 §5.6.2 calls a word a token
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|\s*(?=,|\Z))")
_PARAMETER = re.compile(rf"[\s,]*({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))\s*(?=,|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*\s*(?=,|\Z)")


class Challenge(msgspec.Struct, frozen=True):
    """One scheme, in lower case, with its parameters, names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """The value of a parameter; empty when absent."""
        return dict(self.parameters).get(name, "")


class Wish(msgspec.Struct, frozen=True):
    """What a request is for: the repository, the scopes it needs, further ones that are taken along if granted."""

    registry: str
    repository: str
    needs: tuple[str, ...]
    likes: tuple[str, ...] = ()


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of the WWW-Authenticate headers, in order; what is not in the grammar ends the header it is in."""
    return tuple(challenge for header in headers for challenge in _parse(header[:8192]))


def _parse(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: list[tuple[str, str]] = []
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            parameters.append((name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted)))
            position = parameter.end()
        if not parameters and (credentials := _TOKEN68.match(header, position)):
            position = credentials.end()  # Negotiate and its kin
        found.append(Challenge(match[1].lower(), tuple(parameters)))
    return found


def repository_scope(repository: str, actions: str) -> str:
    """The scope of a repository: actions are `pull` or `pull,push`."""
    return f"repository:{repository}:{actions}"


def join_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes with the actions of equal resources united, each once, in a fixed order: fit to be a key."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, colon, wanted = scope.rpartition(":")
        if colon:
            actions.setdefault(resource, set()).update(action for action in wanted.split(",") if action)
    return tuple(f"{resource}:{','.join(sorted(actions[resource]))}" for resource in sorted(actions))


def covers(held: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether the scopes of a token allow everything wanted."""
    return join_scopes((*held, *wanted)) == join_scopes(held)
