"""Make upgrade.tar.gz: two trees as revision b73758f built and published them, each into a registry that is a folder in it.

    git worktree add /tmp/old b73758f
    python tests/data/upgrade.py /tmp/old

`top` has everything in the SConstruct, `below` all but the environment in a lower SConscript. SCons has to be there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HEAD = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_archive", "oci_push", "oci_index", "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64,linux/arm64", "IMAGE": "old"},
)
"""
BUILD = """\
images, archives, pushes = [], [], []
for platform in env["PLATFORMS"]:
    tag = f"$REPOSITORY:$VERSION-{platform.tag_suffix}"
    image = env.Image(f"out/{platform.slug}.tar", dockerfile=platform.dockerfiles(), platform=platform)
    archives += env.Archive(f"out/release-{platform.slug}.tar", image, reference=tag)
    pushes += env.Push(image, tag)
    images += image
index = env.Index("out/index.json", images, platforms=env["PLATFORMS"], annotations=env["ANNOTATIONS"])
published = env.Push(index, "$REPOSITORY:$VERSION", children=pushes, also=["latest"])
env.Targets(images=images, release=archives, push=pushes, manifest=index, push_manifest=published)
"""


def trees() -> dict[str, dict[str, str]]:
    """The files of each tree."""
    common = {"VERSION": "1.0\n", "conf/a.txt": "a\n", "conf/sub/b.txt": "b\n", "one.txt": "one\n"}
    recipe = "FROM scratch\nCOPY conf /conf\nCOPY one.txt /\nLABEL a=b\n"
    return {
        "top": {**common, "SConstruct": HEAD + BUILD, "Dockerfile": recipe},
        "below": {
            **common,
            "SConstruct": HEAD + 'SConscript("cmd/worker/SConscript", exports="env")\n',
            "cmd/worker/SConscript": 'Import("env")\n' + BUILD,
            "cmd/worker/Dockerfile": recipe,
        },
    }


def main(old: Path) -> None:
    """Build and pack."""
    with tempfile.TemporaryDirectory() as folder:
        for name, files in trees().items():
            tree = Path(folder) / name
            for path, text in files.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text, encoding="utf-8")
            shutil.copytree(old / "site_scons", tree / "site_scons")
            subprocess.run([sys.executable, "-m", "SCons", "-Q", "release", "push-manifest"], cwd=tree, check=True)
            shutil.rmtree(tree / "site_scons")
            shutil.rmtree(tree / ".multiarch" / "pycache", ignore_errors=True)
            (tree / ".multiarch" / "lock").unlink()
        with tarfile.open(Path(__file__).with_suffix(".tar.gz"), "w:gz") as archive:
            archive.add(folder, ".")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
