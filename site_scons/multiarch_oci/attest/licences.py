"""Licences by their SPDX identifiers (spdx.org/licenses): exact, or none."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(4096)
def expression(text: str) -> str:
    """A text as an SPDX expression in its normal form; "" for what is none, or refers to a text of its own."""
    if not text or "ref-" in text.lower():
        return ""
    try:
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression  # start-up
    except ImportError:  # packaging before 24.2
        return ""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""
