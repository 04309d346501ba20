"""Who owns a copied file: `--chown=user[:group]` and USER, by number or by the image's /etc/passwd and /etc/group."""

from __future__ import annotations

import re

from multiarch_oci.engine.frontend.tree import CannotCopy, Tree, resolve
from multiarch_oci.layer import Kind

_LIMIT = 10 << 20  # bytes of /etc/passwd that BuildKit reads
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_LARGEST = 0x7FFFFFFF
_ROOT = "root"  # 0 whatever the image's files say, as BuildKit has it


def owner(text: str, image: Tree) -> tuple[int, int]:
    """The uid and gid of `user[:group]`; a lone number is its own group, a lone name has the group of /etc/passwd.

    Raises CannotCopy for a name that the image does not have (BuildKit silently takes 0: a service that runs as root).
    """
    user, _, group = text.partition(":")
    uid, gid = _account(user, image) if user else (0, 0)
    return uid, gid if not group else _group(group, image)


def by_name(text: str) -> bool:
    """Whether a name stands in it that has to be looked up."""
    return any(part not in ("", _ROOT) and _NUMBER.match(part) is None for part in text.split(":", 1))


def _account(user: str, image: Tree) -> tuple[int, int]:
    if user == _ROOT:
        return 0, 0
    if _NUMBER.match(user):
        return (_number(user), _number(user))
    for fields in _lines(image, "etc/passwd"):
        if fields[0] == user and len(fields) > 3 and _NUMBER.match(fields[2]) and _NUMBER.match(fields[3]):  # noqa: PLR2004  # passwd(5)
            return _number(fields[2]), _number(fields[3])
    raise _unknown("user", user, "/etc/passwd")


def _group(group: str, image: Tree) -> int:
    if group == _ROOT:
        return 0
    if _NUMBER.match(group):
        return _number(group)
    for fields in _lines(image, "etc/group"):
        if fields[0] == group and len(fields) > 2 and _NUMBER.match(fields[2]):  # noqa: PLR2004  # group(5)
            return _number(fields[2])
    raise _unknown("group", group, "/etc/group")


def _number(text: str) -> int:
    value = int(text)
    if value > _LARGEST:
        raise CannotCopy(f"{text} is larger than any user or group id")
    return value


def _lines(image: Tree, path: str) -> list[list[str]]:
    node = image.lookup(resolve(image, path))
    if node is None or node.kind is not Kind.FILE or node.content is None:
        return []
    with node.content.open() as stream:
        text = stream.read(_LIMIT).decode("utf-8", "replace")
    return [line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _unknown(what: str, name: str, file: str) -> CannotCopy:
    return CannotCopy(f"the image's {file} has no {what} '{name}'", hint="use a number, or a base that has the name")
