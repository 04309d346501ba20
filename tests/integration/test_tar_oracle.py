"""Archives that nobody should write, read as Go's archive/tar reads them, which is what engines unpack with."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

import hostile_tars
from machines.required import required
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarreader import LONGEST_NAME, LONGEST_PART, TarReader

SOURCE = Path(__file__).parents[1] / "oracle" / "tar"
ARCHIVES = int(os.environ.get("MULTIARCH_HOSTILE_TARS", "400"))
OURS_ALONE = ("the limit is", "a kind that is not known")
"""What is refused here and not there, and says so: names that no file system takes, sparse files without end."""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = required("go")
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, check=True, capture_output=True)
    return program


def ours(content: bytes) -> tuple[list[tuple], str]:
    found: list[tuple] = []
    reader = TarReader(io.BytesIO(content), "a.tar")
    try:
        for each in reader:
            if each.size > 1 << 30:
                return found, "too large for a test"
            sum_ = hashlib.sha256()
            for part in reader.blocks():
                sum_.update(part)
            name, link = (text.encode("utf-8", "surrogateescape") for text in (each.name, each.target))
            kind = b"0" if each.typeflag == b"7" else each.typeflag
            found.append((name, kind, each.mode, each.uid, each.gid, each.size, each.mtime, link, sum_.hexdigest()))
    except InvalidArchive as error:
        return found, error.what
    return found, ""


def theirs(answer: dict) -> tuple[list[tuple], str]:
    found = []
    for each in answer["Members"] or ():
        kind = bytes([each["Type"]])
        name, link = (base64.b64decode(each[key] or "") for key in ("Name", "Link"))
        content = kind not in b"123456"
        found.append((
            name, b"0" if kind in b"7S" else kind, each["Mode"], each["UID"], each["GID"],
            each["Size"] if content and kind in b"07S" else 0, each["MTime"], link, each["SHA256"],
        ))  # fmt: skip
    return found, answer["Error"]


def test_every_archive_is_read_as_go_reads_it(oracle: Path, tmp_path: Path):
    contents = [hostile_tars.archive(seed) for seed in range(ARCHIVES)]
    paths = []
    for seed, content in enumerate(contents):
        paths.append(tmp_path / f"{seed}.tar")
        paths[-1].write_bytes(content)
    ran = subprocess.run([oracle], input="\n".join(map(str, paths)).encode(), capture_output=True, check=True)
    for seed, (line, content) in enumerate(zip(ran.stdout.splitlines(), contents, strict=True)):
        mine, my_error = ours(content)
        wanted, error = theirs(json.loads(line))
        if any(word in my_error for word in OURS_ALONE):
            assert mine == wanted[: len(mine)], seed
            continue
        assert (mine, bool(my_error)) == (wanted, bool(error)), (seed, my_error, error)
        assert all(len(each[0]) <= LONGEST_NAME for each in mine)
        assert all(len(part) <= LONGEST_PART for each in mine for part in each[0].split(b"/"))
