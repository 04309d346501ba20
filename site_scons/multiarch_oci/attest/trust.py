"""The trust file: whose signatures which bases must have (docs/trust.md).

A JSON object, repository patterns to what is demanded, of which the first that matches decides: `"deny"`, `"allow"`, or
an object with `keys`, `identities` and `predicates`. What no pattern names is allowed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from multiarch_oci.attest.dsse import InvalidEnvelope, only, strict
from multiarch_oci.attest.identity import Identity, IdentityVerifier
from multiarch_oci.attest.keys import PublicKey, check_public, public_pem
from multiarch_oci.attest.verifying import KeyVerifier, Verified, Verifier
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, UnreadableFile, content_of, keyed
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.reference import InvalidReference, Reference

_LONGEST = 4 << 20
_SAYS = '"deny", "allow", or an object with "keys" or "identities"'


class InvalidTrust(MultiarchError, ValueError):
    """A trust file that is none, with the member that is wrong."""


class Untrusted(MultiarchError):
    """An image whose signatures are not those that its rule demands."""


class NamedKey(msgspec.Struct, frozen=True):
    """Verifier by a key that a trust file names; the key is read when something is verified, which most runs do not."""

    content: bytes
    where: str

    @property
    def identity(self) -> str:
        """As Verifier says; raises InvalidKey for a key of another kind."""
        return self._verifier().identity

    def verify(self, bundle: bytes, *, subject: Digest, where: str = "bundle") -> Verified:
        """As Verifier says."""
        return self._verifier().verify(bundle, subject=subject, where=where)

    def refusal(self, payload: bytes, signature: bytes, annotations: Mapping[str, str]) -> str | None:
        """As Verifier says."""
        return self._verifier().refusal(payload, signature, annotations)

    def _verifier(self) -> KeyVerifier:
        return KeyVerifier(PublicKey.from_pem(self.content, where=self.where))


class Rule(msgspec.Struct, frozen=True):
    """What is demanded of the repositories of a pattern; `verifiers` is empty where they are denied."""

    pattern: str
    verifiers: tuple[Verifier, ...] = ()
    predicates: tuple[str, ...] = ()  # types of statements that must be there; none: a signature
    allows: bool = False  # without any question

    def demand(self) -> str:
        """What is demanded, in words."""
        if not self.verifiers:
            return f"that nothing of {self.pattern} is used"
        what = " and ".join(self.predicates) or "a signature"
        return f"of {self.pattern} {what} by {' or '.join(verifier.identity for verifier in self.verifiers)}"


class Trust(msgspec.Struct, frozen=True):
    """A trust file as it was read, with the files that it names."""

    where: str
    rules: tuple[Rule, ...]
    files: tuple[tuple[str, Digest], ...]  # itself first, then keys and roots, by their names

    @classmethod
    def read(cls, path: Path, *, where: str) -> Trust:
        """Read a trust file and its keys, whose paths are from its folder. Raises InvalidTrust, InvalidKey."""
        content = content_of(path, _LONGEST, where=where)
        if content is None:
            raise UnreadableFile(
                "there is no such file", where=where, hint="TRUST names the file that says who is trusted"
            )
        reading = _Reading(path.parent, where)
        try:
            document = strict(content, where=where, limit=_LONGEST)
            rules = tuple(reading.rule(document, pattern) for pattern in document.members)
        except (InvalidEnvelope, InvalidDocument) as error:
            raise InvalidTrust(error.what, where=error.where, hint="docs/trust.md says what it may hold") from None
        return cls(where, rules, ((path.name, Digest.of(content)), *sorted(reading.files.items())))

    @property
    def digest(self) -> Digest:
        """What verdicts are kept by: of the file itself and of all that it names."""
        return Digest.of(keyed([(name, str(digest)) for name, digest in self.files]))

    def rule(self, reference: Reference) -> Rule | None:
        """The rule for an image: the first whose pattern matches its repository; None when it is allowed."""
        name = reference.bare.name
        rule = next((rule for rule in self.rules if _matcher(rule.pattern).fullmatch(name)), None)
        return None if rule is None or rule.allows else rule


class _Reading:
    """One trust file while it is read."""

    def __init__(self, folder: Path, where: str) -> None:
        self._folder = folder
        self._where = where
        self.files: dict[str, Digest] = {}

    def rule(self, document: Document, pattern: str) -> Rule:
        where = f"{self._where}: {quoted(pattern, 80)}"
        value, normal = document.members[pattern], _pattern(pattern, where)
        if value in ("deny", "allow"):
            return Rule(normal, allows=value == "allow")
        if not isinstance(value, Mapping):
            raise InvalidTrust(f"is not {_SAYS}", where=where)
        members = Document(value, where)
        only(members, ("keys", "identities", "predicates"))
        keys = tuple(self._key(text, f"{where}: keys") for text in members.texts("keys"))
        identities = tuple(self._identity(item) for item in members.objects("identities"))
        if not keys and not identities:
            raise InvalidTrust("names nobody", where=where, hint=f"it is {_SAYS}")
        return Rule(normal, (*keys, *identities), _predicates(members))

    def _key(self, text: str, where: str) -> NamedKey:
        if "-----BEGIN" in text:
            check_public(text.encode(), where=where)
            return NamedKey(text.encode(), where)
        where = f"{where}: {quoted(text)[1:-1]}"
        content = public_pem(self._folder / text, where=where)
        self.files[text] = Digest.of(content)
        return NamedKey(content, where)

    def _identity(self, item: Document) -> IdentityVerifier:
        only(item, ("identity", "issuer", "trustedRoot"))
        who = Identity.parse(f"{item.required('identity')},{item.required('issuer')}", where=item.where)
        root = item.text("trustedRoot")
        if root is not None:
            self._note(root, item.where)
        return IdentityVerifier(who, None if root is None else self._folder / root)

    def _note(self, name: str, where: str) -> None:
        content = content_of(self._folder / name, _LONGEST, where=where)
        if content is None:
            raise UnreadableFile(f"there is no file {quoted(name)}", where=where, hint="paths are from the trust file")
        self.files[name] = Digest.of(content)


def _predicates(members: Document) -> tuple[str, ...]:
    predicates = members.texts("predicates")
    for kind in predicates:
        if ":" not in kind:
            hint = "for example https://slsa.dev/provenance/v1, https://spdx.dev/Document"
            raise InvalidTrust(f"predicates: {quoted(kind, 80)} is no predicate type", where=members.where, hint=hint)
    return predicates


def _pattern(text: str, where: str) -> str:
    """A pattern in full: one without `*` is a repository as FROM may name it, so `alpine` is Docker Hub's."""
    if "*" not in text:
        try:
            reference = Reference.parse(text)
        except InvalidReference as error:
            raise InvalidTrust(error.what, where=where, hint=None) from None
        if reference.tag or reference.digest:
            raise InvalidTrust("names more than a repository", where=where, hint="leave out the tag and the digest")
        return reference.bare.name
    first = text.partition("/")[0]
    if not any(letter in first for letter in ".:*") and first != "localhost":
        raise InvalidTrust("does not begin with a registry", where=where, hint=f"for example docker.io/{text}")
    return text


@functools.lru_cache(256)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
