"""What a run asks about its programs, by several threads."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from multiarch_oci.golang.lister import Lister
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform
from multiarch_oci.statcache import StatCache


def test_who_asks_for_an_environment_does_not_mind_that_others_begin_anew(tmp_path: Path):
    go = Toolchain(tmp_path / "bin" / "go", tmp_path, "go1.27.3")
    lister = Lister(go, {"HOME": str(tmp_path)}, None, StatCache(None))
    build = GoBuild(Platform.parse("linux/amd64"), directory=tmp_path)
    ended = threading.Event()

    def begin_anew() -> None:
        while not ended.is_set():
            lister.refresh()

    interval, other = sys.getswitchinterval(), threading.Thread(target=begin_anew)
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        for _ in range(20_000):  # Python 3.10 has met it within two thousand
            assert lister.environment(build)["GOARCH"] == "amd64"
    finally:
        ended.set()
        other.join()
        sys.setswitchinterval(interval)
