"""Licences are exact, or not known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from multiarch_oci.attest.licences import expression, files_in, identify, of_folder

MIT = Path(__file__).parents[3].joinpath("LICENSE").read_text("utf-8")
TERMS = MIT.partition("\n\n")[2].partition("\n\n")[2]  # without title and holder
DISCLAIMER = """\
THIS SOFTWARE IS PROVIDED BY {by} "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE
COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR
BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
(INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE
POSSIBILITY OF SUCH DAMAGE.
"""
BSD = """\
Copyright (c) 2009 The Go Authors. All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are
met:

   {0} Redistributions of source code must retain the above copyright
notice, this list of conditions and the following disclaimer.
   {1} Redistributions in binary form must reproduce the above
copyright notice, this list of conditions and the following disclaimer
in the documentation and/or other materials provided with the
distribution.
{clause}
"""
THIRD = """\
   * Neither the name of Google Inc. nor the names of its
contributors may be used to endorse or promote products derived from
this software without specific prior written permission.
"""
BSD_3 = BSD.format("*", "*", clause=THIRD) + DISCLAIMER.format(by="THE COPYRIGHT HOLDERS AND CONTRIBUTORS")
BSD_2 = BSD.format("1.", "2.", clause="") + DISCLAIMER.format(by="THE AUTHOR")
ISC = """\
ISC License

Copyright (c) 2012-2016 Somebody <somebody@example.org>

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""
KNOWN = {
    "MIT, of this project": (MIT, "MIT"),
    "MIT, without a title": (f"Copyright 2020 The Authors\n\n{TERMS}", "MIT"),
    "MIT, other lines and marks": ("The MIT License (MIT)\n\n# " + TERMS.replace("\n", "\n# "), "MIT"),
    "BSD with three clauses": (BSD_3, "BSD-3-Clause"),
    "BSD with two clauses": (BSD_2, "BSD-2-Clause"),
    "ISC": (ISC, "ISC"),
    "an identifier": ("// SPDX-License-Identifier: Apache-2.0 OR MIT\n", "Apache-2.0 OR MIT"),
    "an identifier in other letters": ("SPDX-License-Identifier: apache-2.0\n", "Apache-2.0"),
}
UNKNOWN = {
    "nothing": "",
    "a word more": f"{MIT}Not for rockets.\n",
    "a word less": MIT.replace("free of charge", "charge"),
    "terms beside the holder": MIT.replace("multiarch authors", "multiarch authors. Commercial use is prohibited"),
    "two licences": f"{MIT}\n\n{BSD_3}",
    "two identifiers": "SPDX-License-Identifier: MIT\nSPDX-License-Identifier: ISC\n",
    "an identifier that is none": "SPDX-License-Identifier: Rockets-1.0\n",
    "a text of its own": "SPDX-License-Identifier: LicenseRef-ours\n",
    "a title alone": "MIT License\n",
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_licence_word_by_word(name: str):
    text, identifier = KNOWN[name]
    assert identify(text) == identifier


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_guessed(name: str):
    assert identify(UNKNOWN[name]) == ""


@pytest.mark.parametrize(
    "text", ["\n" * 250_000, " " * 250_000, "copyright " * 25_000, "neither the name of " * 12_000]
)
def test_a_hostile_text_takes_no_time(text: str):
    start = time.process_time()
    assert identify(text) == ""
    assert time.process_time() - start < 3


def test_the_files_of_a_folder(tmp_path: Path):
    assert of_folder(tmp_path / "absent") == ""
    (tmp_path / "LICENSE").write_text(MIT, "utf-8")
    (tmp_path / "license_test.go").write_text("package x\n", "utf-8")
    assert of_folder(tmp_path) == "MIT"
    (tmp_path / "COPYING.md").write_text(MIT, "utf-8")
    assert of_folder(tmp_path) == "MIT"
    (tmp_path / "LICENSE-MIT").write_text(ISC, "utf-8")
    assert of_folder(tmp_path) == "", "nobody says whether both count"
    assert [path.name for path in files_in(tmp_path)] == ["COPYING.md", "LICENSE", "LICENSE-MIT"]


def test_expressions_in_their_normal_form():
    assert expression("mit or apache-2.0") == "MIT OR Apache-2.0"
    assert expression("MIT License") == expression("") == expression("MIT AND") == ""
