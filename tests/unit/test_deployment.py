"""Deployment files: what counts as an image in each kind, and that nothing else of a file changes."""

from __future__ import annotations

import pytest

from multiarch_oci.deployment import NotResolved, Published, resolve
from multiarch_oci.digest import Digest
from multiarch_oci.reference import Reference

HEX = "ab" * 32
DEMO = Published(Reference.parse("ghcr.io/team/demo:v1.0"), Digest("sha256", HEX))
API = Published(Reference.parse("127.0.0.1:5000/team/api:1.10"), Digest("sha256", HEX))
IMAGES = {"demo": DEMO, "team/api": API}
PINNED = f"ghcr.io/team/demo:v1.0@sha256:{HEX}"
API_PINNED = f"127.0.0.1:5000/team/api:1.10@sha256:{HEX}"


def resolved(text: str, name: str = "deploy.yaml", paths: tuple[str, ...] = ()) -> str:
    return resolve(text.encode(), IMAGES, name=name, paths=paths, where=name).content.decode()


KUBERNETES = """\
# what runs
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}   # the name is no image
spec:
  template:
    spec:
      initContainers:
      - name: first
        image: 'multiarch://team/api'
      containers:

        - {image: demo, name: demo}   # kept
        -   name: "second"
            image: demo:dev  # a comment
        - name: theirs
          image: redis:7
        - image: ghcr.io/team/demo:v0.9@sha256:0000
      ephemeralContainers: [{image: "multiarch://demo"}]
      volumes:
      - name: data
        image: {reference: demo, pullPolicy: Always}
---
# a second document
apiVersion: example.com/v1
kind: Machine
spec:
  image: demo
  runners: [{image: demo}, {image: {repository: demo, tag: latest}}]
"""


def test_kubernetes_names_all_kinds_of_containers_and_changes_nothing_else() -> None:
    expected = (
        KUBERNETES.replace("'multiarch://team/api'", f"'{API_PINNED}'")
        .replace("{image: demo, name", f"{{image: {PINNED}, name")
        .replace("image: demo:dev", f"image: {PINNED}")
        .replace("ghcr.io/team/demo:v0.9@sha256:0000", PINNED)
        .replace('"multiarch://demo"', f'"{PINNED}"')
        .replace("reference: demo", f"reference: {PINNED}")
    )
    assert resolved(KUBERNETES) == expected
    assert resolved(expected) == expected  # what was resolved already stays
    crlf = KUBERNETES.replace("\n", "\r\n")
    assert resolve(crlf.encode(), IMAGES, name="x").content.decode() == expected.replace("\n", "\r\n")


def test_paths_lead_to_images_of_other_kinds() -> None:
    text = resolved(KUBERNETES, paths=("spec.image", "spec.runners[].image"))
    assert f"spec:\n  image: {PINNED}\n" in text
    assert f"[{{image: {PINNED}}}, {{image: {{repository: ghcr.io/team/demo, tag: v1.0@sha256:{HEX}}}}}]" in text


def test_a_kustomization_has_new_names_and_digests() -> None:
    text = resolved(
        "resources: [app.yaml]\nimages:\n- name: demo   # ours\n- newTag: old\n  name: team/api\n- {name: redis, newTag: x}\n",
        "base/kustomization.yaml",
    )
    assert text == (
        "resources: [app.yaml]\nimages:\n"
        f"- name: demo   # ours\n  newName: ghcr.io/team/demo\n  newTag: v1.0\n  digest: sha256:{HEX}\n"
        f'- newTag: "1.10"\n  digest: sha256:{HEX}\n  name: team/api\n  newName: "127.0.0.1:5000/team/api"\n'
        "- {name: redis, newTag: x}\n"
    )


def test_values_of_helm_have_repository_tag_and_digest() -> None:
    text = resolved(
        "image:\n  repository: demo # here\n  tag: \"\"\n  digest: ''\n"
        "worker: {image: {registry: docker.io, repository: multiarch://team/api}}\n"
        "bare:\n  repository: demo\n  tag:\n"
        "sidecar:\n  image: multiarch://demo\n"
        "theirs: {repository: redis}\n",
        "values.yaml",
    )
    assert text == (
        f"image:\n  repository: ghcr.io/team/demo # here\n  tag: \"v1.0\"\n  digest: 'sha256:{HEX}'\n"
        f'worker: {{image: {{registry: "127.0.0.1:5000", repository: team/api, tag: "1.10@sha256:{HEX}"}}}}\n'
        f"bare:\n  repository: ghcr.io/team/demo\n  tag: v1.0@sha256:{HEX}\n"
        f"sidecar:\n  image: {PINNED}\n"
        "theirs: {repository: redis}\n"
    )


@pytest.mark.parametrize("tag", ["", ":latest", ":v2", "@sha256:0000", f":v2@sha256:{HEX}"])
def test_the_scheme_takes_any_tag_or_digest(tag: str) -> None:
    assert resolved(f"x: multiarch://demo{tag}\n") == f"x: {PINNED}\n"
    assert resolved(f"image: multiarch://team/api{tag}\n") == f'image: "{API_PINNED}"\n'


def test_a_name_in_a_literal_block_is_one_line_then() -> None:
    assert resolved("a:\n  image: |\n    demo\n\n  # two\n  b: 1\n") == f"a:\n  image: {PINNED}\n\n  # two\n  b: 1\n"
    assert resolved("x: >-  # it\r\n  multiarch://demo\r\nb: 1\r\n") == f"x: {PINNED}\r\nb: 1\r\n"
    values = resolved("a:\n  repository: |\n    multiarch://demo\n  b: 1\n")
    assert values == f"a:\n  repository: ghcr.io/team/demo\n  tag: v1.0@sha256:{HEX}\n  b: 1\n"
    assert resolved("image: |\n  demo\n  and more\n") == "image: |\n  demo\n  and more\n"


def test_a_registry_beside_a_repository_says_whose_image_it_is() -> None:
    theirs = 'a: {registry: quay.io, repository: demo, tag: "3"}\n'
    assert resolve(theirs.encode(), IMAGES, name="values.yaml").content.decode() == theirs
    assert resolve(theirs.encode(), IMAGES, name="values.yaml").names == frozenset()
    ours = f'a: {{registry: ghcr.io, repository: team/demo, tag: "v1.0@sha256:{HEX}"}}\n'
    assert resolved('a: {registry: ghcr.io, repository: demo, tag: "3"}\n') == ours
    assert resolved('a: {registry: ghcr.io, repository: team/demo, tag: "3"}\n') == ours
    assert resolved("a: {registry: '', repository: demo, tag: \"3\"}\n") == ours.replace("ghcr.io,", "'ghcr.io',")


def test_services_of_compose_and_json() -> None:
    text = "services:\n  web: {image: demo, build: .}\n  db: {image: postgres}\nx-image: demo\n"
    assert resolved(text, "compose.yaml") == text.replace("image: demo, b", f"image: {PINNED}, b")
    text = '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "demo"}]}}'
    assert resolved(text, "pod.json") == text.replace('"demo"', f'"{PINNED}"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "line 1: is no YAML"),
        ("a: {{ .Values.x }}: b\n", "a Helm template is none: give its values.yaml"),
        ("kind: Pod\napiVersion: v1\nx: multiarch://dmo\n", "line 3: 'multiarch://dmo' is no image of this build"),
        ("x: multiarch://dmo:v2\n", "'multiarch://dmo:v2' is no image of this build"),
        ("x: |\n  multiarch://dmo\n", "line 1: 'multiarch://dmo' is no image of this build"),
        ("a: &a [*a, *b]\n", "is no YAML"),
        ("[" * 5000, "is no YAML"),
        ("a: \x07\n", "is no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(NotResolved) as raised:
        resolved(text)
    assert words in str(raised.value)
    assert "deploy.yaml" in str(raised.value)


def test_bytes_that_are_no_text_and_files_without_images() -> None:
    with pytest.raises(NotResolved):
        resolve(b"\xff\xfe", IMAGES, name="x")
    assert resolve(b"", IMAGES, name="x").names == frozenset()
    assert resolve(b"\xef\xbb\xbfimage: demo", IMAGES, name="x").content == f"\ufeffimage: {PINNED}".encode()
    loops = resolve(b"a: &a {b: *a, image: demo}\n", IMAGES, name="x")
    assert loops.names == {"demo"}


def test_an_alias_is_changed_where_it_names_an_image_and_nowhere_else() -> None:
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: &app demo}\nspec:\n  containers:\n  - {name: *app, image: *app}\n"
    )
    assert resolved(pod) == pod.replace("image: *app", f"image: {PINNED}")
    image = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: &i 'demo'\n    name: *i\n  - {image: *i, name: x}\n"
    expected = image.replace("&i 'demo'", f"&i '{PINNED}'").replace("name: *i", "name: 'demo'")
    assert resolved(image) == expected.replace("{image: *i", f"{{image: {PINNED}")
    values = "tag: &t latest\nweb: {repository: demo, tag: *t}\nredis: {repository: redis, tag: *t}\n"
    assert resolved(values, "values.yaml") == values.replace(
        "{repository: demo, tag: *t", f"{{repository: ghcr.io/team/demo, tag: v1.0@sha256:{HEX}"
    )
    block = "web:\n  repository: demo\n  tag: &t |-\n    latest\nredis: {repository: redis, tag: *t}\n"
    assert resolved(block, "values.yaml").endswith(
        f'tag: &t v1.0@sha256:{HEX}\nredis: {{repository: redis, tag: "latest"}}\n'
    )
    entry = resolved("images:\n- name: &n demo\n  newName: *n\n", "kustomization.yaml")
    assert entry.startswith("images:\n- name: &n demo\n")
    assert "  newName: ghcr.io/team/demo\n" in entry


def test_what_a_mapping_merges_counts_as_its_own() -> None:
    compose = "x-base: &base\n  image: demo\nservices:\n  a:\n    <<: *base\n  b: {<<: [*base], image: redis}\n"
    assert resolved(compose, "compose.yaml") == compose.replace("image: demo", f"image: {PINNED}")
    pod = "apiVersion: v1\nkind: Pod\nx: &c {image: demo}\nspec:\n  containers:\n  - <<: *c\n    name: a\n"
    assert resolved(pod) == pod.replace("image: demo", f"image: {PINNED}")
    values = (
        "base: &b\n  repository: demo\n  tag: '1'\nother:\n  <<: *b\n  tag: special\n"
        "redis:\n  <<: *b\n  repository: redis\nmine:\n  <<: *b\n  repository: demo\n"
    )
    tag = f"v1.0@sha256:{HEX}"
    assert resolved(values, "values.yaml") == (
        f"base: &b\n  repository: ghcr.io/team/demo\n  tag: '{tag}'\nother:\n  <<: *b\n  tag: {tag}\n"
        f'redis:\n  <<: *b\n  repository: redis\n  tag: "1"\nmine:\n  <<: *b\n  repository: ghcr.io/team/demo\n  tag: {tag}\n'
    )
    endless = "services:\n  a: &a\n    <<: *a\n    image: demo\n"
    assert resolved(endless, "compose.yaml") == endless.replace("image: demo", f"image: {PINNED}")
    many = "".join(f"{n}: &{n}\n  <<: [{', '.join([f'*{chr(ord(n) - 1)}'] * 9)}]\n" for n in "bcdefghijklmn")
    assert resolved(f"a: &a\n  image: demo\n{many}services:\n  a: *n\n", "compose.yaml").startswith(
        f"a: &a\n  image: {PINNED}\n"
    )
