"""A name look-up that hangs ends when it has taken its time, and soon after the run was ended; nothing can end it itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machines.names import silent_names

LIBRARY = Path(__file__).resolve().parents[2] / "site_scons"
PROGRAM = f"""\
import sys, threading, time
sys.path.insert(0, {str(LIBRARY)!r})
from pathlib import Path
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all

cancelled, begun = threading.Event(), time.monotonic()
environment = dict(word.split("=", 1) for word in sys.argv[2:])
settings = Settings(connect_timeout=float(sys.argv[1] or 60), backoff=0.1, environment=environment,
                    insecure=("insecure.example",))
if not sys.argv[1]:
    threading.Timer(1, cancelled.set).start()
transport = Transport(settings, Credentials({{}}, Path("/nowhere")), cancelled)
threads = []
def ask(host):
    try:
        Registry(transport, Reference(host, "team/demo")).resolve("v1")
    except MultiarchError as error:
        sys.stdout.write(str(error).splitlines()[0] + "\\n")
for host in ("strict.example", "strict.example", "strict.example:5000", "insecure.example"):
    threads.append(threading.Thread(target=ask, args=(host,)))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{{time.monotonic() - begun:.1f}} s")
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    with silent_names(tmp_path_factory.mktemp("names")) as made:
        yield made


def run(before: tuple[str, ...], *arguments: str) -> tuple[list[str], float]:
    """The errors and how long it took until the process had ended."""
    begun = time.monotonic()
    ran = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stderr == ""
    return sorted(ran.stdout.splitlines()[:-1]), time.monotonic() - begun


def test_a_look_up_that_hangs_has_the_time_of_a_connection(before: tuple[str, ...]) -> None:
    told, seconds = run(before, "1")
    what = "no name server said within 1 s which address this name has (tried 2 times)"
    assert told == [
        f"insecure.example: {what}",
        f"strict.example: {what}",
        f"strict.example: {what}",
        f"strict.example:5000: {what}",
    ]
    assert seconds < 10


@pytest.mark.parametrize("proxy", [(), ("HTTPS_PROXY=http://proxy.example:3128", "HTTP_PROXY=http://proxy.example")])
def test_a_look_up_that_hangs_ends_with_the_run(before: tuple[str, ...], proxy: tuple[str, ...]) -> None:
    told, seconds = run(before, "", *proxy)
    assert told == ["stopped"] * 4
    assert seconds < 1 + 2


def test_a_proxy_whose_name_hangs_is_named(before: tuple[str, ...]) -> None:
    told, _ = run(before, "0.5", "ALL_PROXY=http://proxy.example:3128")
    assert {line.partition(": ")[2] for line in told} == {"the proxy for it cannot be reached (tried 5 times)"}
