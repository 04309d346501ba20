"""Licences by their SPDX identifiers (spdx.org/licenses): exact, or none.

A text counts when it says an identifier (`SPDX-License-Identifier:`), or is word by word one of the commonest licences.
Passed over are titles, names of holders and years, case, line breaks, signs and the numbers of a list (SPDX 2.3, annex
B). Nothing is guessed: a text with one word more is not known, and those of the GNU licences do not say themselves
whether a later version may be taken.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from multiarch_oci.document import UnreadableFile, content_of

_LONGEST = 256 << 10
_BEGINNINGS = ("licen", "unlicen", "copying")
# Patterns as texts: they are compiled where they are used, which a build with nothing to do need not.
_FILE = r"(?i)(?:(?:un)?licen[cs]es?|copying)(?:[.-](?:md|txt|rst|mit|apache|apache-2\.0|bsd|isc|mpl|mpl-2\.0))*"
_IDENTIFIER = r"(?i)SPDX-License-Identifier:[ \t]*([^\r\n*]{1,200})"
_HOLDER = (
    r"(?m)^[^\w\n]{0,40}(?!.*(?i:\b(?:uses?|may|must|shall|not|under|permi|prohibit|restrict|commercial|licen[cs]e)))"
    r"(?:(?i:(?:portions |modifications )?copyright\b(?=.*(?:\d{4}|\(c\)|©|[<\[{]))|all rights reserved[^\w\n]*$)"
    r"|\([cC]\)(?=.*\d{4})|©"
    r"|Copyright (?!Notice|Holder|Owner|Licen[cs]e|Statement)(?:by )?[A-Z][a-z]).*$"
)
_NUMBER = r"(?mi)^[^\w\n]{0,40}(?:\d+|[a-z]|[ivx]+)[.)][ \t]"
_TITLE = (
    r"^(?:(?:the )?mit license(?: mit| expat)?|mit(?= permission)"
    r"|(?:the )?(?:new |revised |modified |simplified )?bsd(?: [23])?(?: clause)?(?: new| revised| simplified)?"
    r"(?: or \w+)?(?: license)?|(?:the )?isc license(?: isc)?|license|the unlicense) "
)
_VARIANTS = (
    (r"\bneither the names? of .{1,160}? nor the names of (?:its|their|his|any|the) contributors may\b", "neither may"),
    (r"\bthis software is provided by .{1,160}? as is and any\b", "this software is provided as is and any"),
    (r"\bin no event shall .{1,200}? be liable\b", "in no event shall be liable"),
    (r"\bhttps? ", ""),
)
_APACHE_END = " end of terms and conditions"
_NOTICE = (
    "licensed under the apache license version 2 0 the license you may not use this file except in compliance with"
    " the license you may obtain a copy of the license at www apache org licenses license 2 0 unless required by"
    " applicable law or agreed to in writing software distributed under the license is distributed on an as is basis"
    " without warranties or conditions of any kind either express or implied see the license for the specific"
    " language governing permissions and limitations under the license"
)
_APPENDIX = (
    rf"(?:appendix how to apply the apache license to your work .{{300,600}}? )?(?:copyright .{{0,120}}? )?{_NOTICE}"
)
_TEXTS = MappingProxyType(
    {
        "aa9626e471f65dbcb5d97dd168d16f67e8f3696c4a817adbcd1d7c8a663307d5": "MIT",
        "08e235ec158bc1c833e5981a6c68e53029755a17feda40adc3599fc09401969b": "BSD-2-Clause",
        "65c70b196b0dae1c2f9b7ea491d48daf0bb1933bc1f75420baf8eea9fab5b22f": "BSD-3-Clause",
        "b39a3e1d0c79e5f52a6dc5e879c0a912961996e28c2abce32da8598a9bddf25f": "ISC",
        "ee432267415b435158bdec940271aa0c1bb67345c13707cb30c35bede33c1fc3": "Apache-2.0",
        "9ed0c230cf11312a5d6bdc0597928037db290a521ff79cadfd488e6606508716": "MPL-2.0",
        "fc3b7547cd22a69f533f8dc61ce0b9bba032990bd8d72935ddd5cf7045643f54": "CC0-1.0",
        "56159dee68bc6ca8ca9c2ccc8b1e8b29ed9e4c9b1197246842b9184ef67cf415": "Unlicense",
    }
)
"""The SHA-256 of the words of each licence; of Apache's, up to its end."""


def words(text: str) -> str:
    """What counts of a licence's text: its words, in small letters."""
    plain = re.sub(_NUMBER, "", re.sub(_HOLDER, "", text))
    line = " ".join(re.findall(r"[a-z0-9]+", plain.lower()))
    for pattern, constant in _VARIANTS:
        line = re.sub(pattern, constant, line)
    while (shorter := re.sub(_TITLE, "", line)) != line:
        line = shorter
    head, end, tail = line.partition(_APACHE_END)
    return head if end and (not tail.strip() or re.fullmatch(_APPENDIX, tail.strip())) else line


def identify(text: str) -> str:
    """The SPDX expression of a licence's text; "" when it is none that is known word by word."""
    identifiers = set(map(str.strip, re.findall(_IDENTIFIER, text)))
    if identifiers:
        return expression(identifiers.pop()) if len(identifiers) == 1 else ""
    return _TEXTS.get(hashlib.sha256(words(text).encode("ascii")).hexdigest(), "")


def files_in(folder: Path) -> tuple[Path, ...]:
    """The files right in a folder that are named as licences are; none where there is no such folder."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return ()
    return tuple(folder / name for name in names if _is_named_so(name) and (folder / name).is_file())


def of_folder(folder: Path) -> str:
    """The licence of what lies in a folder, by its own files; "" where there is none, or one is not known.

    Several that differ are none, too: nobody says whether all count, or one may be chosen.
    """
    texts = set()
    for path in files_in(folder):
        try:
            content = content_of(path, _LONGEST, where=str(path))
        except UnreadableFile:
            return ""
        texts.add(identify((content or b"").decode("utf-8", "replace")))
    return texts.pop() if len(texts) == 1 else ""


def _is_named_so(name: str) -> bool:
    return name.lower().startswith(_BEGINNINGS) and re.fullmatch(_FILE, name) is not None


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
