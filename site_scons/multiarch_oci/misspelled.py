"""Platforms as the configs of other people's images spell them: `arm64/armv8`, `arm64v8`, a variant `unknown`.

No runtime looks for such words. What this build writes is always normalised; what it reads is read as it is meant.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from multiarch_oci.platform import MEANT, Platform

_NOTHING = frozenset(["unknown", "none", "null", "any", "generic", "default", "<no value>"])
_ARM_VARIANT = r"(?:arm(?:32|64)?)?[-_]?v?([5-9](?:\.[0-9])?)(?:-?[alh]|hf)?"
_AMD64_VARIANT = r"(?:x86[-_]64)?[-_]?v?([1-4])"
_VARIANTS = {"arm": _ARM_VARIANT, "arm64": _ARM_VARIANT, "amd64": _AMD64_VARIANT}
_NO_VARIANT = "386"


def corrected(platform: Platform, *, like: Platform | None = None) -> Platform:
    """The normalised platform that is meant; words that mean nothing we know stay, in lower case.

    32-bit arm without a word on its variant is that of `like`, where this is 32-bit arm, too: `docker build` on such a
    machine says none, and containerd's v7 is a guess.
    """
    system = platform.os.lower()
    architecture, _, named = MEANT.get(platform.architecture.lower(), platform.architecture.lower()).partition("/")
    lowered = platform.variant.lower()
    variant = named or ("" if lowered in _NOTHING else lowered)
    known = replace(platform, os=MEANT.get(system, system), architecture=architecture, variant="").normalized()
    pattern = _VARIANTS.get(known.architecture)
    match = re.fullmatch(pattern, variant) if pattern is not None else None
    if match is not None:
        variant = f"v{match[1]}"
    elif known.architecture == _NO_VARIANT:
        variant = ""
    if not variant and architecture == "arm" and like is not None and like.architecture == "arm":
        variant = like.variant
    return replace(known, variant=variant or known.variant).normalized()
