"""Two machines attach to the same images at once, through a slow line: nothing is lost after one more run of each."""

from __future__ import annotations

import json

from conftest import CACHE
from faults import FaultProxy
from machines.registry import Registry
from machines.small import Tree
from machines.suppliers import Keys, cosign

TAGS = ("v1.0", "v1.0-amd64", "v1.0-arm64")
ROUNDS = 20


def test_twenty_rounds_of_two_machines_at_once(tree: Tree, registry: Registry, tmp_path):
    """Each machine has a key of its own, so each has bundles that the other has not; a foreign signature stays, too."""
    theirs = cosign(CACHE, tmp_path / "cosign")
    keys = [Keys.make(tmp_path, name) for name in ("one", "two")]
    machines = [tree, tree.copy(tree.path.parent / "elsewhere" / "tree")]
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    theirs.sign(f"{registry.host}/demo:v1.0")
    with FaultProxy(registry.host) as proxy:
        given = [["push-manifest", f"REGISTRY={proxy.host}", f"SIGN={key.private}", "ATTEST=sbom"] for key in keys]
        for machine, words in zip(machines, given, strict=True):
            machine.scons(*words)
        subjects = [str(registry.digest("demo", tag)) for tag in TAGS]
        complete = [listed(registry, subject) for subject in subjects]
        for _ in range(ROUNDS):
            for subject in subjects:
                keep_foreign(registry, subject)
            for kind in ("GET manifest", "PUT manifest"):
                proxy.order(kind, hold=0.05, times=40)
            started = [machine.start(*words) for machine, words in zip(machines, given, strict=True)]
            assert [process.communicate() and process.returncode for process in started] == [0, 0]
            for machine, words in zip(machines, given, strict=True):
                machine.scons(*words)
            assert [listed(registry, subject) for subject in subjects] == complete


def listed(registry: Registry, subject: str) -> set[str]:
    """Return the digests in the list of what refers to a subject."""
    content = registry.manifest("demo", subject.replace(":", "-"))[0]
    return {item["digest"] for item in json.loads(content)["manifests"]}


def keep_foreign(registry: Registry, subject: str) -> None:
    """Take everything off a list but what somebody else put there."""
    content, media_type = registry.manifest("demo", subject.replace(":", "-"))
    members = json.loads(content)
    members["manifests"] = [item for item in members["manifests"] if is_foreign(registry, item["digest"])]
    registry.put_manifest("demo", subject.replace(":", "-"), json.dumps(members).encode(), media_type)


def is_foreign(registry: Registry, digest: str) -> bool:
    """Say whether it has what cosign notes and we do not: when it was made."""
    noted = json.loads(registry.manifest("demo", digest)[0]).get("annotations", {})
    return "org.opencontainers.image.created" in noted
