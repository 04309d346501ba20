"""`env.Resolve` and `scons resolve`: deployment files with digests, as other people's tools read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from machines.registry import Registry
from machines.required import cache_folder, go_tool, required
from machines.small import Tree

CACHE = cache_folder()  # before a test moves HOME
KUSTOMIZE, KUSTOMIZE_VERSION = "sigs.k8s.io/kustomize/kustomize/v5", "v5.5.0"
HELM_VERSION = "v3.16.4"
DEPLOYMENT = """\
# what runs
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
        - {name: first, image: demo}   # by its plain name
      containers:
        - name: web
          image: multiarch://demo
        - name: theirs
          image: redis:7
---
apiVersion: example.com/v1
kind: Machine
metadata: {name: m}
spec: {image: multiarch://demo}
"""
FILES = {
    "k8s/base/deployment.yaml": DEPLOYMENT.replace("multiarch://demo", "demo"),
    "k8s/base/kustomization.yaml": "resources: [deployment.yaml]\n",
    "k8s/prod/kustomization.yaml": "resources: [../base]\n# whose\nimages:\n  - name: demo # ours\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    "chart/values.yaml": "image:\n  repository: demo # ours\n  tag: latest\n  digest: ''\nworker:\n  repository: demo\n",
    "chart/templates/pod.yaml": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n    - name: web\n"
        "      image: {{ .Values.image.repository }}:{{ .Values.image.tag }}@{{ .Values.image.digest }}\n"
        "    - name: worker\n      image: {{ .Values.worker.repository }}:{{ .Values.worker.tag }}\n"
    ),
    "compose.yaml": "services:\n  web:\n    image: demo\n",
    "deploy.yaml": DEPLOYMENT,
}
SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(GOLDFLAGS="-X main.version=$VERSION")
image = env.GoImage("demo")
env.Resolve("deploy.yaml", image, paths=["spec.image"])
env.Resolve(["compose.yaml", "chart/values.yaml", env.Glob("k8s/*/*.yaml")], image)
"""


@pytest.fixture
def deployed(tree: Tree) -> Tree:
    """Return a tree with deployment files, in which images are made already."""
    for name, text in FILES.items():
        tree.edit(name, text)
    tree.edit("SConstruct", SCONSTRUCT)
    return tree


def digest_of(tree: Tree) -> str:
    return tree.read("_output/manifest/demo-v1.0.digest").strip()


def resolves(text: str) -> list[str]:
    return sorted(line.partition(":")[0].split()[1] for line in text.splitlines() if line.startswith("Resolve "))


def test_resolve_publishes_and_writes_each_file_which_is_left_alone_while_its_image_is(
    deployed: Tree, registry: Registry
) -> None:
    to = f"REGISTRY={registry.host}"
    ran = deployed.scons("resolve", to)
    names = ["chart/values", "compose", "deploy", "k8s/base/deployment", "k8s/base/kustomization"]
    assert resolves(ran.text) == [f"_output/deploy/{name}.yaml" for name in [*names, "k8s/prod/kustomization"]]
    pinned = f"{registry.host}/demo:v1.0@{digest_of(deployed)}"
    text = deployed.read("_output/deploy/deploy.yaml")
    quoted = f'"{pinned}"'  # a number comes first
    assert text == DEPLOYMENT.replace("image: demo}", f"image: {quoted}}}").replace("multiarch://demo", quoted)
    assert subprocess.check_output(
        [
            required("skopeo"),
            "inspect",
            "--raw",
            "--tls-verify=false",
            f"docker://{registry.host}/demo@{digest_of(deployed)}",
        ]
    )
    files = sorted((deployed.path / "_output/deploy").rglob("*.yaml"))
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    assert "`resolve' is up to date." in deployed.scons("resolve", to).text
    registry.empty()  # published anew, with the digests of before
    assert "Publish" in deployed.scons("demo:resolve", to).text
    deployed.append("main_test.go", "// no input\n")
    deployed.edit("chart/values.yaml", FILES["chart/values.yaml"] + "# more\n")
    assert resolves(deployed.scons("resolve", to).text) == ["_output/deploy/chart/values.yaml"]
    after = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    assert {file.name for file in files if before[file] != after[file]} == {"values.yaml"}
    deployed.append("main.go", "\nfunc more() {}\nvar _ = more\n")
    deployed.replace("main.go", '"demo "', '"changed "')
    assert len(resolves(deployed.scons("resolve", to).text)) == len(files)
    assert digest_of(deployed) in deployed.read("_output/deploy/compose.yaml")


def test_kustomize_reads_what_was_written(deployed: Tree, registry: Registry) -> None:
    deployed.scons("resolve", f"REGISTRY={registry.host}")
    kubectl = shutil.which("kubectl")
    kustomize = [kubectl, "kustomize"] if kubectl else [str(go_tool(KUSTOMIZE, KUSTOMIZE_VERSION, CACHE)), "build"]
    text = subprocess.check_output([*kustomize, str(deployed.path / "_output/deploy/k8s/prod")], text=True)
    pinned = f"{registry.host}/demo:v1.0@{digest_of(deployed)}"
    assert len(re.findall(rf"image: {re.escape(pinned)}$", text, re.MULTILINE)) == 2, text
    assert "image: redis:7\n" in text


def test_helm_reads_what_was_written(deployed: Tree, registry: Registry) -> None:
    """Helm takes ten minutes to compile: it is used where it is there."""
    helm = shutil.which("helm") or shutil.which(CACHE / f"helm-{HELM_VERSION}")
    if helm is None:
        pytest.skip(f"helm: not in PATH, nor in {CACHE}")
    deployed.scons("resolve", f"REGISTRY={registry.host}")
    values = str(deployed.path / "_output/deploy/chart/values.yaml")
    text = subprocess.check_output([helm, "template", str(deployed.path / "chart"), "-f", values], text=True)
    pinned = f"{registry.host}/demo:v1.0@{digest_of(deployed)}"
    assert text.count(f"image: {pinned}\n") == 2, text


def test_what_cannot_be_resolved_is_one_error(deployed: Tree, registry: Registry) -> None:
    to = f"REGISTRY={registry.host}"
    folder = deployed.scons("resolve", check=False)
    assert folder.status == 2
    assert "is in a folder, and no cluster pulls from one\n  hint: name a registry: REGISTRY=host/team" in folder.text
    assert folder.steps == []  # nothing is made or published for an error
    assert deployed.scons("-c", "resolve").status == 0
    deployed.replace("deploy.yaml", "image: multiarch://demo\n", "image: multiarch://dmo\n")
    wrong = deployed.scons("resolve", to, check=False)
    assert wrong.status == 2
    assert "deploy.yaml: line 14: 'multiarch://dmo' is no image of this build\n  hint: there is: demo" in wrong.text
    assert not (deployed.path / "_output/deploy/deploy.yaml").exists()
    deployed.edit("SConstruct", SCONSTRUCT.partition("env.Resolve")[0])
    undeclared = deployed.scons("resolve", to, check=False)
    assert undeclared.status == 2
    assert 'env.Resolve("deployment.yaml", image) in the SConstruct declares what it makes' in undeclared.text


def test_a_folder_is_no_deployment_file(deployed: Tree, registry: Registry) -> None:
    deployed.replace(
        "SConstruct", 'env.Resolve("deploy.yaml", image, paths=["spec.image"])', 'env.Resolve("k8s", image)'
    )
    ran = deployed.scons("resolve", f"REGISTRY={registry.host}", check=False)
    assert ran.status == 2
    assert "SConstruct:5: Resolve: files: takes files, and k8s is a folder\n" in ran.text
    assert '  hint: name its files, as env.Glob("k8s/*.yaml") does\n' in ran.text
    assert "in the way" not in ran.text


def test_a_source_that_became_a_folder_is_not_called_in_the_way(deployed: Tree, registry: Registry) -> None:
    deployed.edit(
        "SConstruct", SCONSTRUCT.replace('env.Resolve("deploy', "env.Resolve(env.File('late.yaml'), image)\n#")
    )
    (deployed.path / "late.yaml").mkdir()
    ran = deployed.scons("resolve", f"REGISTRY={registry.host}", check=False)
    assert ran.status == 2
    assert "late.yaml: Is a directory\n  hint: name a file in it" in ran.text


def test_several_images_and_a_chain_by_hand(fresh: Tree, registry: Registry) -> None:
    fresh.edit("a.yaml", "services: {a: {image: one}, b: {image: team/two}, c: {image: multiarch://mine}}\n")
    fresh.edit(
        "SConstruct",
        "import scons_multiarch\n"
        "env = scons_multiarch.environment()\n"
        'images = [env.GoImage("one", dockerfile=None), env.GoImage("team/two", dockerfile=None)]\n'
        'env.Resolve("a.yaml", {"one": images[0], "team/two": images[1], "mine": images[0].pushes[0]}, into="out")\n',
    )
    fresh.scons("resolve", f"REGISTRY={registry.host}", "PLATFORMS=linux/amd64")
    services = json.dumps(fresh.read("out/a.yaml"))
    for name in ("one:v1.0@sha256:", "team/two:v1.0@sha256:", "one:v1.0-amd64@sha256:"):
        assert f"{registry.host}/{name}" in services
