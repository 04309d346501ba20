"""What is said of images stands in their registry before their tags do, is tracked like them, and read by others."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import CACHE
from faults import FaultProxy
from machines.referring import plain, referring
from machines.registry import OPENER, Registry
from machines.signing import Key
from machines.small import Tree
from machines.suppliers import Cosign, Keys, cosign, discovered, pulled
from multiarch_oci.attest.keys import PublicKey
from multiarch_oci.digest import Digest

SPDX, CYCLONEDX = "https://spdx.dev/Document", "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
TAGS = ("v1.0", "v1.0-amd64", "v1.0-arm64")
ATTESTS = {f"Attest {{}}/demo:{tag}" for tag in TAGS}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def theirs(tmp_path: Path) -> Cosign:
    return cosign(CACHE, tmp_path / "cosign")


def words(place: Registry | str, keys: Keys, *more: str) -> list[str]:
    name = place if isinstance(place, str) else place.host
    return [f"REGISTRY={name}", f"SIGN={keys.private}", "ATTEST=sbom,provenance", *more]


def digest(registry: Registry, tag: str) -> str:
    """Return what a tag names."""
    named = registry.digest("demo", tag)
    assert named is not None, tag
    return named


def lists(registry: Registry, tag: str) -> bytes:
    """Return what the registry lists as what refers to what a tag names."""
    return registry.manifest("demo", digest(registry, tag).replace(":", "-"))[0]


def referrers(registry: Registry, tag: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(lists(registry, tag))["manifests"]
    return found


def predicates(registry: Registry, tag: str) -> list[str]:
    """Return the types of the bundles that refer to what a tag names."""
    noted = [item.get("annotations", {}) for item in referrers(registry, tag)]
    return sorted(str(n["dev.sigstore.bundle.predicateType"]) for n in noted if n)  # type: ignore[attr-defined,index]


def test_index_and_images_are_signed_before_their_tags_are_written(tree: Tree, registry: Registry, keys: Keys):
    registry.requests()
    ran = tree.scons("push-manifest", *words(registry, keys))
    assert {step for step in ran.steps if step.startswith("Attest")} == {step.format(registry.host) for step in ATTESTS}
    assert [predicates(registry, tag) for tag in TAGS] == [[CYCLONEDX, SIGNATURE, PROVENANCE, SPDX]] * 3
    puts = [seen.path.rpartition("/")[2] for seen in registry.requests() if seen.method == "PUT"]
    for tag in TAGS:
        # The subject by digest, what refers to it, the list of that, and the tag last.
        subject = digest(registry, tag)
        assert puts.index(subject) < puts.index(subject.replace(":", "-")) < puts.index(tag)
        assert {str(item["digest"]) for item in referrers(registry, tag)} <= set(puts[: puts.index(tag)])


def test_a_build_with_nothing_to_do_asks_for_all_that_it_attached_and_sends_nothing(
    tree: Tree, registry: Registry, keys: Keys
):
    tree.scons("push-manifest", *words(registry, keys))
    registry.requests()
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []
    seen = registry.requests()
    assert {request.method for request in seen} == {"GET", "HEAD"}
    assert sorted(r.path.rpartition("/")[2] for r in seen if r.path.rpartition("/")[2] in TAGS) == sorted(TAGS)
    assert len([r for r in seen if "/manifests/sha256-" in r.path]) == len(TAGS)
    # What such a list names may have been deleted since: it is looked at by digest, each once.
    attached = sorted(str(item["digest"]) for tag in TAGS for item in referrers(registry, tag))
    assert sorted(r.path.rpartition("/")[2] for r in seen if "/manifests/sha256:" in r.path) == attached
    assert {r.method for r in seen if "/manifests/sha256:" in r.path} == {"HEAD"}
    assert len(seen) <= 2 * len(TAGS) + len(attached) + 1  # and one that finds out how to speak


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_a_fresh_clone_adopts_all_that_stands_there(
    tree: Tree, registry: Registry, keys: Keys, tmp_path: Path, signed: bool
):
    asked = words(registry, keys) if signed else [f"REGISTRY={registry.host}", "ATTEST=sbom,provenance"]
    tree.scons("push-manifest", *asked)
    clone = tree.copy(tmp_path / "clone", built=False)
    registry.requests()
    ran = clone.scons("push-manifest", *asked)
    assert {step for step in ran.steps if step.startswith("Attest")} == {step.format(registry.host) for step in ATTESTS}
    assert [seen for seen in registry.requests() if seen.method not in {"GET", "HEAD"}] == []


def test_a_list_that_is_as_it_was_is_not_sent_again(tree: Tree, registry: Registry, keys: Keys):
    """One question a subject in any case; only a list that is new to this tree is read."""

    def answers() -> list[int]:
        registry.requests()
        assert tree.scons("push-manifest", *words(registry, keys)).steps == []
        return sorted(seen.status for seen in registry.requests() if "/manifests/sha256-" in seen.path)

    tree.scons("push-manifest", *words(registry, keys))
    assert [answers(), answers()] == [[200] * 3, [304] * 3]
    members = json.loads(lists(registry, "v1.0"))
    foreign = {**members["manifests"][0], "annotations": {"by": "somebody else"}}
    content = json.dumps(members | {"manifests": [*members["manifests"], foreign]}).encode()
    registry.put_manifest("demo", digest(registry, "v1.0").replace(":", "-"), content, members["mediaType"])
    assert [answers(), answers()] == [[200, 304, 304], [304] * 3]
    known = tree.path / ".multiarch" / "attested.json"
    known.write_text(known.read_text("utf-8").replace("sha256:", "md5:"), "utf-8")  # damaged: found out anew
    assert [answers(), answers()] == [[200] * 3, [304] * 3]


@pytest.mark.parametrize("member", ["receipt", "by", "subject", "list"])
def test_what_is_remembered_wrongly_of_a_list_is_found_out(tree: Tree, registry: Registry, keys: Keys, member: str):
    known = tree.path / ".multiarch" / "attested.json"
    for _ in range(2):
        tree.scons("push-manifest", *words(registry, keys))
    right = json.loads(known.read_text("utf-8"))
    assert len(right) == len(TAGS)
    wrong = {name: dict(entry) for name, entry in right.items()}
    entry = next(entry for name, entry in wrong.items() if name.endswith("v1.0-arm64.json"))
    entry[member] = "api" if member == "by" else f"sha256:{'0' * 64}"
    known.write_text(json.dumps(wrong), "utf-8")
    registry.requests()
    tree.scons("push-manifest", *words(registry, keys))
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []
    assert {seen.method for seen in registry.requests()} == {"GET", "HEAD"}
    assert json.loads(known.read_text("utf-8")) == right


def test_a_registry_that_lists_referrers_itself_is_asked_once_a_subject(tree: Tree, keys: Keys):
    with referring(CACHE) as host, FaultProxy(host) as proxy:
        tree.scons("push-manifest", *words(proxy.host, keys))
        proxy.seen.clear()
        assert tree.scons("push-manifest", *words(proxy.host, keys)).steps == []
        seen = [request for request in proxy.seen if request.method in ("GET", "HEAD") and "/demo/" in request.path]
        assert len(seen) == 2 * len(TAGS)
        assert len([request for request in seen if "/referrers/" in request.path]) == len(TAGS)


def test_the_key_is_opened_only_when_something_is_to_be_signed(
    tree: Tree, registry: Registry, keys: Keys, tmp_path: Path
):
    tree.scons("push-manifest", *words(registry, keys))
    away = tmp_path / "away.pem"
    tree.remove("_output/receipts")
    registry.requests()
    ran = tree.scons(
        "push-manifest",
        f"REGISTRY={registry.host}",
        "ATTEST=sbom,provenance",
        f"SIGN={away}",
        f"SIGN_KEY={keys.public}",
    )
    assert len([step for step in ran.steps if step.startswith("Attest")]) == len(TAGS)
    assert {seen.method for seen in registry.requests()} <= {"GET", "HEAD"}


def test_a_machine_with_the_public_half_alone_takes_what_is_signed_and_publishes_nothing_else(
    tree: Tree, registry: Registry, keys: Keys
):
    believing = (f"SIGN_KEY={keys.public}", "ATTEST=sbom,provenance", f"REGISTRY={registry.host}")
    other = tree.copy(tree.path.parent / "elsewhere" / "tree")
    refused = other.scons("push-manifest", *believing, check=False)
    assert refused.status == 2
    assert f"has no {SIGNATURE} by key sha256:" in refused.text
    assert "give SIGN, too" in refused.text
    assert [registry.digest("demo", tag) for tag in TAGS] == [None] * 3
    tree.scons("push-manifest", *words(registry, keys))
    before = [lists(registry, tag) for tag in TAGS]
    other.scons("push-manifest", *believing)
    assert [lists(registry, tag) for tag in TAGS] == before
    assert other.scons("push-manifest", *believing).steps == []
    assert other.scons("push-manifest", *words(registry, keys), believing[0]).steps == []


def test_without_its_key_what_is_not_signed_yet_is_an_error_and_no_tag_is_written(
    tree: Tree, registry: Registry, keys: Keys, tmp_path: Path
):
    ran = tree.scons("push-manifest", *words(registry, keys), f"SIGN={tmp_path}/away.pem", check=False)
    assert ran.status == 2
    assert "away.pem" in ran.text
    assert "Traceback" not in ran.text
    for tag in TAGS:
        assert registry.digest("demo", tag) is None


@pytest.mark.parametrize("tag", TAGS)
def test_a_deleted_list_is_repaired_alone(tree: Tree, registry: Registry, keys: Keys, tag: str):
    tree.scons("push-manifest", *words(registry, keys))
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []  # it is known from now on
    before, held = lists(registry, tag), digest(registry, digest(registry, tag).replace(":", "-"))
    registry.ask("DELETE", f"/v2/demo/manifests/{held}")
    registry.requests()
    ran = tree.scons("push-manifest", *words(registry, keys))
    assert ran.steps == [f"Attest {registry.host}/demo:{tag}"]
    assert "attestations are not in the registry" in ran.text
    assert lists(registry, tag) == before
    assert not [seen for seen in registry.requests() if seen.method == "POST"]
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []


@pytest.mark.parametrize("kind", ["docker-registry", "go-containerregistry", "go-containerregistry with referrers"])
def test_a_deleted_attestation_is_repaired_alone(tree: Tree, registry: Registry, keys: Keys, kind: str):
    """Its manifest is deleted by digest: the tag that lists it still does, the referrers API does not."""
    with contextlib.ExitStack() as serving:
        host = registry.host
        if kind != "docker-registry":
            host = serving.enter_context(referring(CACHE) if "with" in kind else plain(CACHE))
        tree.scons("push-manifest", *words(host, keys))
        listed = attached(f"{host}/demo:v1.0-arm64")
        for lost in listed[:2]:
            delete(host, lost)
            ran = tree.scons("push-manifest", *words(host, keys))
            assert ran.steps == [f"Attest {host}/demo:v1.0-arm64"]
            assert "1 of 6 attestations are not in the registry" in ran.text
            assert attached(f"{host}/demo:v1.0-arm64") == listed
            assert tree.scons("push-manifest", *words(host, keys)).steps == []
        assert tree.scons("verify", *words(host, keys)).status == 0


def test_of_very_many_attestations_some_are_looked_at_in_a_run(tree: Tree, registry: Registry, keys: Keys):
    tree.edit("SConstruct", MANY)
    tree.edit("Dockerfile", "FROM scratch\nCOPY share /share\n")
    said = ["push", f"REGISTRY={registry.host}", f"SIGN={keys.private}"]
    ran = tree.scons(*said)
    assert len([step for step in ran.steps if step.startswith("Attest")]) == 11  # of 6 each
    registry.requests()
    assert tree.scons(*said).steps == []
    asked = [r.path.rpartition("/")[2] for r in registry.requests() if "/manifests/sha256:" in r.path]
    assert len(asked) == len(set(asked)) == 8  # of 66


def test_an_attestation_that_somebody_took_off_the_list_is_put_back(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", *words(registry, keys))
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []  # it is known from now on
    before, members = referrers(registry, "v1.0"), json.loads(lists(registry, "v1.0"))
    del members["manifests"][1]
    list_tag = digest(registry, "v1.0").replace(":", "-")
    registry.put_manifest("demo", list_tag, json.dumps(members).encode(), members["mediaType"])
    ran = tree.scons("push-manifest", *words(registry, keys))
    assert ran.steps == [f"Attest {registry.host}/demo:v1.0"]
    assert referrers(registry, "v1.0") == before


def test_verify_finds_a_deleted_attestation_and_repairs_it(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", *words(registry, keys))
    lost = str(referrers(registry, "v1.0-arm64")[0]["digest"])
    registry.ask("DELETE", f"/v2/demo/manifests/{lost}")
    ran = tree.scons("verify", *words(registry, keys), check=False)
    assert ran.status == 1
    assert lost in ran.text
    repaired = tree.scons("verify", "push-manifest", *words(registry, keys))
    assert "repaired: everything is there" in repaired.text
    assert tree.scons("verify", *words(registry, keys)).status == 0


def test_verify_says_who_signed_what_and_refuses_another_key(
    tree: Tree, registry: Registry, keys: Keys, tmp_path: Path
):
    tree.scons("push-manifest", *words(registry, keys))
    ran = tree.scons("verify", *words(registry, keys))
    assert f"{registry.host}/demo:v1.0: signature, SLSA provenance, SPDX, CycloneDX by key sha256:" in ran.text
    other = Keys.make(tmp_path, "other")
    ran = tree.scons("verify", f"REGISTRY={registry.host}", f"SIGN_KEY={other.public}", check=False)
    assert ran.status == 1
    faults = [line for line in ran.text.splitlines() if "has no signature by key sha256:" in line]
    assert len(faults) == len(TAGS)


def test_verify_names_lists_of_what_is_not_there(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", *words(registry, keys))
    gone = digest(registry, "v1.0")
    registry.ask("DELETE", f"/v2/demo/manifests/{gone}")
    ran = tree.scons("verify", *words(registry, keys), check=False)
    assert ran.status == 1
    assert f"orphan: the tag {gone.replace(':', '-')}" in ran.text


def test_verify_reads_what_cosign_left_before_version_3(
    tree: Tree, registry: Registry, keys: Keys, theirs: Cosign, tmp_path: Path
):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    by = f"signature by {PublicKey.from_pem(keys.public.read_bytes(), where='key')}"
    named = (f"REGISTRY={registry.host}", f"SIGN_KEY={keys.public}")
    nobody = tree.scons("verify", *named, check=False)
    assert (nobody.status, nobody.text.count("has no signature by key sha256:")) == (1, len(TAGS))
    signed = theirs.sign(f"{registry.host}/demo@{digest(registry, 'v1.0')}", keys=keys, older=True)
    assert signed.returncode == 0, signed.stderr
    ran = tree.scons("verify", *named)
    assert f"{registry.host}/demo:v1.0: {by}" in ran.text
    # What is signed is the index: that counts for the images that it names, whichever of them is asked for.
    assert f"{registry.host}/demo:v1.0-amd64: its index has a {by}" in tree.scons("verify", "push", *named).text
    other = Keys.make(tmp_path, "other")
    ran = tree.scons("verify", f"REGISTRY={registry.host}", f"SIGN_KEY={other.public}", check=False)
    assert ran.status == 1
    assert f"{registry.host}/demo:v1.0: others: signature by a key that is not named" in ran.text
    assert ran.text.count("has no signature by key sha256:") == len(TAGS)
    registry.ask("DELETE", f"/v2/demo/manifests/{digest(registry, 'v1.0')}")
    orphan = f"orphan: the tag {signed_tag(registry)} is about a manifest that is not there"
    assert orphan in tree.scons("verify", *named, check=False).text


def test_a_signature_that_was_moved_to_another_image_is_a_fault_and_one_that_is_none_is_not(
    tree: Tree, registry: Registry, tmp_path: Path
):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    key = Key(tmp_path / "key", "key")
    named = (f"REGISTRY={registry.host}", f"SIGN_KEY={key.public}")
    amd64, arm64 = f"{registry.host}/demo:v1.0-amd64", f"{registry.host}/demo:v1.0-arm64"
    key.sign_simply(f"{registry.host}/demo:v1.0")
    key.sign_simply(amd64, about=Digest.parse(digest(registry, "v1.0-arm64")))
    key.sign_simply(arm64, beside=(("dev.cosignproject.cosign/signature", "?"),))
    ran = tree.scons("verify", *named, check=False)
    assert ran.status == 1
    faults = [line for line in ran.text.splitlines() if "holds a signature by" in line]
    assert len(faults) == 1
    assert faults[0].startswith(f"{amd64}: sha256-")
    assert faults[0].endswith(f"not {digest(registry, 'v1.0-amd64')}")
    assert f"{arm64}: its index has a signature by" in ran.text
    assert "others: signature in the .sig tag that cannot be read" in ran.text


@pytest.mark.parametrize("attests", [(), ("ATTEST=sbom",)], ids=["nothing attached", "SBOMs"])
def test_what_no_build_of_this_command_line_signs_is_not_said_to_be_repaired(
    tree: Tree, registry: Registry, keys: Keys, attests: tuple[str, ...]
):
    place = (f"REGISTRY={registry.host}", *attests)
    tree.scons("push-manifest", *place)
    named = (*place, f"SIGN_KEY={keys.public}")
    hint = "  hint: without SIGN this build signs nothing: scons push-manifest SIGN=… where the key is, or have"
    for targets in ((), ("push-manifest",)):
        registry.requests()
        ran = tree.scons("verify", *targets, *named, check=False)
        assert ran.status == 1
        assert "3 faults found\n" + hint in ran.text
        assert "repair" not in ran.text
        assert ran.steps == []
        assert {seen.method for seen in registry.requests()} <= {"GET", "HEAD"}
    # What else is wrong is repaired, and what is left is said.
    registry.delete_tag("demo", "v1.0-arm64")
    told = tree.scons("verify", *named, check=False).text
    assert "4 faults found; scons verify push-manifest repairs what it can\n" + hint in told
    mended = tree.scons("verify", "push-manifest", *named, check=False).text
    if attests:  # what is promised has to be there before the tag
        assert "hint: give SIGN, too" in mended
    else:
        assert "3 faults left\n" + hint in mended
        assert registry.digest("demo", "v1.0-arm64") is not None
    tree.scons("push-manifest", *place, f"SIGN={keys.private}")
    assert tree.scons("verify", *named).status == 0


def test_what_was_attached_with_other_words_is_repaired_with_these(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", *words(registry, keys))
    registry.ask("DELETE", f"/v2/demo/manifests/{referrers(registry, 'v1.0-arm64')[0]['digest']}")
    told = tree.scons("verify", "push-manifest", f"REGISTRY={registry.host}", check=False)
    assert (told.status, told.steps) == (1, [])
    hint = "  hint: this build attaches nothing to these: say ATTEST and SIGN as the push did that left them"
    assert hint in told.text
    assert "repaired: everything is there" in tree.scons("verify", "push-manifest", *words(registry, keys)).text


def test_what_was_pushed_unsigned_since_is_not_taken_for_signed(tree: Tree, registry: Registry, keys: Keys):
    named = (f"REGISTRY={registry.host}", f"SIGN_KEY={keys.public}")
    tree.scons("push-manifest", f"REGISTRY={registry.host}", f"SIGN={keys.private}")
    assert tree.scons("verify", *named).status == 0
    former = [digest(registry, tag) for tag in TAGS]
    tree.edit("share/greeting", "another\n")
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    for more in ((), (f"SIGN={keys.private}",), ("ATTEST=sbom",)):
        ran = tree.scons("verify", *named, *more, check=False)
        assert ran.status == 1, more
        faults = "has no signature by key sha256:", "what it holds was not attested from this tree"
        assert ran.text.count(faults[bool(more)]) == len(TAGS), ran.text
    # What is not promised any more is not missed, either.
    for gone in former:
        registry.delete_manifest("demo", digest_of_list(registry, gone))
        registry.delete_manifest("demo", gone)
    assert "everything is there" in tree.scons("verify", f"REGISTRY={registry.host}").text
    words = (f"REGISTRY={registry.host}", f"SIGN={keys.private}")
    assert "repaired: everything is there" in tree.scons("verify", "push-manifest", *words).text
    assert tree.scons("verify", *named).status == 0


def digest_of_list(registry: Registry, subject: str) -> str:
    """Return the digest of the list of what refers to a manifest."""
    return digest(registry, subject.replace(":", "-"))


def test_a_signature_of_an_index_is_none_of_an_image_that_it_does_not_name(
    tree: Tree, registry: Registry, tmp_path: Path
):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    key = Key(tmp_path / "key", "key")
    key.sign(f"{registry.host}/demo:v1.0")
    named = (f"REGISTRY={registry.host}", f"SIGN_KEY={key.public}")
    assert tree.scons("verify", *named).text.count("its index has a signature by") == 2
    image = f"_output/receipts/{registry.host.replace(':', '_')}/demo/v1.0-amd64.json"
    tree.edit("share/greeting", "another\n")
    tree.scons(image, f"REGISTRY={registry.host}")
    ran = tree.scons("verify", image, *named, check=False)
    assert "its index has a signature" not in ran.text
    assert f"{registry.host}/demo:v1.0-amd64: has no signature by {key.identity} that verifies" in ran.text
    assert ran.status != 0


def signed_tag(registry: Registry) -> str:
    """Return the one tag that holds signatures as cosign kept them before version 3."""
    tags = json.loads(registry.ask("GET", "/v2/demo/tags/list")[0])["tags"]
    (tag,) = [tag for tag in tags if tag.endswith(".sig")]
    return str(tag)


def test_what_others_attached_stays(tree: Tree, registry: Registry, keys: Keys, theirs: Cosign):
    tree.scons("push-manifest", *words(registry, keys))
    signed = theirs.sign(f"{registry.host}/demo@{registry.digest('demo', 'v1.0')}")
    assert signed.returncode == 0, signed.stderr
    assert len(referrers(registry, "v1.0")) == 7
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []
    held = digest(registry, digest(registry, "v1.0").replace(":", "-"))
    tree.remove("_output/receipts/attestations")
    tree.scons("push-manifest", *words(registry, keys))
    assert digest(registry, digest(registry, "v1.0").replace(":", "-")) == held
    assert "others: signature by key sha256:" in tree.scons("verify", *words(registry, keys)).text


def test_two_machines_on_two_days_attach_the_same_bytes(tree: Tree, registry: Registry, keys: Keys):
    other = tree.copy(tree.path.parent / "elsewhere" / "tree")
    held = []
    for machine in (tree, other):
        machine.scons("push-manifest", *words(registry, keys))
        held.append([lists(registry, tag) for tag in TAGS])
        registry.empty()
    assert held[0] == held[1]


@pytest.mark.parametrize("kind", ["EC", "ED25519"])
def test_cosign_verifies_it_and_refuses_what_is_not_signed_so(
    tree: Tree, registry: Registry, tmp_path: Path, theirs: Cosign, kind: str
):
    own, other = Keys.make(tmp_path, "own", kind=kind), Keys.make(tmp_path, "other", kind=kind)
    tree.scons("push-manifest", *words(registry, own))
    pinned = [f"{registry.host}/demo@{registry.digest('demo', tag)}" for tag in TAGS]
    for tag, reference in zip(TAGS, pinned, strict=True):
        assert theirs.verify(reference, own)
        assert not theirs.verify(reference, other)
        for predicate_type in (SPDX, CYCLONEDX, PROVENANCE):
            (statement,) = theirs.attestations(reference, own, predicate_type)
            assert statement["subject"][0]["digest"] == {"sha256": digest(registry, tag)[7:]}  # type: ignore[index]
            assert theirs.attestations(reference, other, predicate_type) == []


def test_cosign_refuses_a_bundle_that_was_moved_to_another_subject(
    tree: Tree, registry: Registry, keys: Keys, theirs: Cosign
):
    tree.scons("push-manifest", *words(registry, keys))
    source, target = digest(registry, "v1.0-amd64"), digest(registry, "v1.0-arm64")
    moved = []
    for item in referrers(registry, "v1.0-amd64"):
        manifest = json.loads(registry.manifest("demo", str(item["digest"]))[0])
        manifest["subject"] = manifest["subject"] | {"digest": target}
        content = json.dumps(manifest).encode()
        put = registry.put_manifest("demo", "moved", content, manifest["mediaType"])
        moved.append(item | {"digest": put, "size": len(content)})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": moved}
    registry.put_manifest("demo", target.replace(":", "-"), json.dumps(index).encode(), str(index["mediaType"]))
    assert theirs.verify(f"{registry.host}/demo@{source}", keys)
    assert not theirs.verify(f"{registry.host}/demo@{target}", keys)
    ran = tree.scons("verify", *words(registry, keys), check=False)
    assert ran.status == 1
    assert "v1.0-arm64: has no signature by key" in ran.text
    # And ours puts right ones beside them.
    tree.scons("push-manifest", *words(registry, keys))
    assert theirs.verify(f"{registry.host}/demo@{target}", keys)


def test_a_registry_that_answers_oci_subject_lists_them_without_a_tag(tree: Tree, keys: Keys, theirs: Cosign):
    """As one with the whole API does, and one that has no list yet of what nothing refers to."""
    for options in (("-subject", "-etag"), ("-subject", "-unknown")):
        with referring(CACHE, *options) as host:
            tree.scons("push-manifest", *words(host, keys))
            tags = json.loads(OPENER.open(f"http://{host}/v2/demo/tags/list").read())["tags"]
            assert sorted(tags) == sorted(TAGS)
            assert tree.scons("push-manifest", *words(host, keys)).steps == []
            assert [theirs.verify(f"{host}/demo:{tag}", keys) for tag in TAGS] == [True] * 3


@pytest.mark.parametrize("kind", ["distribution v3", "go-containerregistry", "go-containerregistry with referrers"])
def test_every_kind_of_registry_has_them_and_a_second_run_sends_nothing(
    tree: Tree, keys: Keys, theirs: Cosign, make_registry: Callable[..., Registry], kind: str
):
    with contextlib.ExitStack() as serving:
        if kind == "distribution v3":
            host = make_registry("v3").host
        else:
            host = serving.enter_context(referring(CACHE) if "referrers" in kind else plain(CACHE))
        tree.scons("push-manifest", *words(host, keys))
        assert tree.scons("push-manifest", *words(host, keys)).steps == []
        for tag in TAGS:
            assert theirs.verify(f"{host}/demo:{tag}", keys)
            assert len(theirs.attestations(f"{host}/demo:{tag}", keys, SPDX)) == 1
            assert sum(map(len, discovered(CACHE, f"{host}/demo:{tag}").values())) == 6
        assert tree.scons("verify", *words(host, keys)).status == 0


def test_oras_lists_it(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", *words(registry, keys))
    for tag in TAGS:
        listed = discovered(CACHE, f"{registry.host}/demo:{tag}")
        assert {kind: len(digests) for kind, digests in listed.items()} == {
            BUNDLE: 4,
            "application/spdx+json": 1,
            "application/vnd.cyclonedx+json": 1,
        }


def test_oras_pulls_an_sbom_as_a_file(tree: Tree, registry: Registry, keys: Keys, tmp_path: Path):
    tree.scons("push-manifest", *words(registry, keys))
    listed = discovered(CACHE, f"{registry.host}/demo:v1.0-arm64")
    for kind, end in (("application/spdx+json", "spdx.json"), ("application/vnd.cyclonedx+json", "cdx.json")):
        files = pulled(CACHE, f"{registry.host}/demo@{listed[kind][0]}", tmp_path / end)
        written = (tree.path / f"_output/sbom/demo-linux-arm64.{end}").read_bytes()
        assert files == {f"sbom.{end}": written}


def test_oras_lists_what_is_attached_in_a_folder(tree: Tree, keys: Keys):
    tree.scons("push-manifest", *words("./out", keys))
    for tag in TAGS:
        listed = discovered(CACHE, f"{tree.path}/out/demo:{tag}", layout=True)
        assert sorted(map(len, listed.values())) == [1, 1, 4]
    assert tree.scons("push-manifest", *words("./out", keys)).steps == []
    lost = discovered(CACHE, f"{tree.path}/out/demo:v1.0", layout=True)["application/spdx+json"][0]
    (tree.path / "out/demo/blobs/sha256" / lost[7:]).unlink()
    assert tree.scons("push-manifest", *words("./out", keys)).steps == ["Attest ./out/demo:v1.0"]
    assert tree.scons("verify", *words("./out", keys)).status == 0


def test_plan_and_why_show_it(tree: Tree, registry: Registry, keys: Keys):
    documents = ["SBOM _output/sbom/demo-linux-amd64.spdx.json", "provenance _output/provenance/demo-v1.0.json"]
    planned = tree.scons("plan", *words(registry, keys)).text
    assert f"attestations of {registry.host}/demo:v1.0: attached" in planned
    assert f"{documents[0]}: made again, not built before" in planned
    tree.scons("push-manifest", *words(registry, keys))
    planned = tree.scons("plan", *words(registry, keys, "PLAN=plan.json")).text
    assert f"attestations of {registry.host}/demo:v1.0: unchanged" in planned
    assert all(f"{document}: unchanged" in planned for document in documents)
    lines = json.loads(tree.read("plan.json"))["documents"]
    assert (
        sorted((line["kind"], line["rebuild"]) for line in lines) == [("SBOM", "no")] * 3 + [("provenance", "no")] * 3
    )
    tree.append("arm64only/first.txt", "more")
    planned = tree.scons("plan", *words(registry, keys)).text.splitlines()
    assert f"{documents[0]}: unchanged" in planned
    of_arm64 = "_output/images/demo-linux-arm64.tar would be made again"
    assert f"SBOM _output/sbom/demo-linux-arm64.spdx.json: made again, {of_arm64}" in planned
    assert (
        "SBOM _output/sbom/demo-v1.0.spdx.json: perhaps made again, if _output/manifest/demo-v1.0.json changes"
        in planned
    )
    assert f"Sbom _output/sbom/demo-linux-arm64.spdx.json: {of_arm64}" in tree.scons("why", "sbom").text
    (tree.path / "_output/sbom/demo-linux-amd64.cdx.json").unlink()
    (line,) = [
        line for line in tree.scons("plan", *words(registry, keys)).text.splitlines() if line.startswith(documents[0])
    ]
    assert line.startswith(f"{documents[0]}: made again, ")
    tree.scons("push-manifest", *words(registry, keys))
    assert (
        f"Attest {registry.host}/demo:v1.0: up to date"
        in tree.scons("why", "push-manifest", *words(registry, keys)).text
    )
    report = tree.path.parent / "report.json"
    tree.scons("push-manifest", *words(registry, keys), f"REPORT={report}")
    unchanged = json.loads(report.read_text())["unchanged"]
    assert [len(line["attestations"]) for line in unchanged if "attestations" in line] == [6, 6, 6]


def test_a_tag_that_somebody_moved_is_an_error_before_anything_is_attached(tree: Tree, registry: Registry, keys: Keys):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    moved = registry.move_tag("demo", "v1.0", "v1.0-amd64")
    ran = tree.scons("push-manifest", *words(registry, keys, "DRIFT=fail"), check=False)
    assert ran.status == 2
    assert "was moved by somebody" in ran.text
    assert digest(registry, "v1.0") == moved


def test_what_is_unsigned_stands_there_as_it_is(tree: Tree, registry: Registry):
    tree.scons("push-manifest", f"REGISTRY={registry.host}", "ATTEST=sbom")
    assert predicates(registry, "v1.0") == []
    assert len(referrers(registry, "v1.0")) == 2
    assert tree.scons("push-manifest", f"REGISTRY={registry.host}", "ATTEST=sbom").steps == []


def test_a_word_that_attest_does_not_know_is_an_error(tree: Tree):
    ran = tree.scons("ATTEST=sboms", check=False)
    assert ran.status == 2
    assert "did you mean sbom?" in ran.text


def test_what_refers_to_an_external_image_is_copied_only_where_it_is_asked_for(
    tree: Tree, registry: Registry, keys: Keys, theirs: Cosign
):
    tree.scons("push-manifest", *words(f"{registry.host}/origin", keys))
    other = tree.copy(tree.path.parent / "elsewhere" / "tree")
    outside = f"EXTERNAL=linux/arm64={registry.host}/origin/demo:v1.0-arm64"
    given = ["push-manifest", f"REGISTRY={registry.host}/own", "PLATFORMS=linux/amd64", outside]
    other.scons(*given)
    subject = registry.digest("own/demo", "v1.0-arm64")
    assert subject == registry.digest("origin/demo", "v1.0-arm64")
    list_tag = str(subject).replace(":", "-")
    assert registry.digest("own/demo", list_tag) is None
    other.scons(*given, "COPY_REFERRERS=yes")
    assert registry.digest("own/demo", list_tag) == registry.digest("origin/demo", list_tag)
    assert theirs.verify(f"{registry.host}/own/demo@{subject}", keys)
    assert other.scons(*given, "COPY_REFERRERS=yes").steps == []


def test_a_newer_attestation_takes_the_place_of_ours_and_of_nobody_else_s(
    tree: Tree, registry: Registry, keys: Keys, tmp_path: Path
):
    said = words(registry, keys, "PLATFORMS=linux/amd64")
    tree.edit("SConstruct", BY_HAND)
    tree.edit("said.json", spdx("Tool: theirs", 1))
    tree.scons("push", *said)
    others = Keys.make(tmp_path, "others")
    tree.scons("push", *words(registry, others, "PLATFORMS=linux/amd64"))
    before = {str(item["digest"]) for item in referrers(registry, "v1.0-amd64")}
    assert len(before) == 5  # two signatures, two statements, one SBOM as it is
    tree.edit("said.json", spdx("Tool: theirs", 2))
    tree.scons("push", *said)
    after = {str(item["digest"]) for item in referrers(registry, "v1.0-amd64")}
    assert (len(after), len(before - after)) == (5, 2)  # the one that we signed, and the SBOM as it was
    tree.edit("said.json", spdx("Tool: another", 2))
    tree.scons("push", *said)
    assert len(referrers(registry, "v1.0-amd64")) == 7


def test_with_drift_fail_an_attestation_by_another_tree_is_an_error(tree: Tree, registry: Registry, keys: Keys):
    said = words(registry, keys, "PLATFORMS=linux/amd64", "DRIFT=fail")
    tree.edit("SConstruct", BY_HAND)
    tree.edit("said.json", spdx("Tool: theirs", 1))
    tree.scons("push", *said)
    tree.remove("_output/receipts/attestations")
    tree.edit("said.json", spdx("Tool: theirs", 2))
    ran = tree.scons("push", *said, check=False)
    assert ran.status == 2
    assert "has an attestation by another run" in ran.text
    assert "and DRIFT=fail" in ran.text
    repaired = tree.scons("push", *words(registry, keys, "PLATFORMS=linux/amd64"))
    assert "is of another run, and is replaced" in repaired.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"spdxVersion": 2}', '{"_type": "https://in-toto.io/Statement/v1"}']
)
def test_a_file_that_says_nothing_known_is_one_error(tree: Tree, registry: Registry, keys: Keys, content: str):
    tree.edit("SConstruct", BY_HAND)
    tree.edit("said.json", content)
    ran = tree.scons("push", *words(registry, keys, "PLATFORMS=linux/amd64"), check=False)
    assert ran.status == 2
    assert "said.json" in ran.text
    assert "Traceback" not in ran.text
    assert registry.digest("demo", "v1.0-amd64") is None


def test_times_and_the_id_of_a_run_are_attached_beside_and_not_tracked(
    tree: Tree, registry: Registry, keys: Keys, theirs: Cosign
):
    tree.scons("push-manifest", *words(registry, keys))
    tracked = {str(item["digest"]) for tag in TAGS for item in referrers(registry, tag)}
    registry.empty()
    full = words(registry, keys, "PROVENANCE=full")
    tree.scons("push-manifest", *full)
    assert [predicates(registry, tag) for tag in TAGS] == [[CYCLONEDX, SIGNATURE, PROVENANCE, PROVENANCE, SPDX]] * 3
    held = {str(item["digest"]) for tag in TAGS for item in referrers(registry, tag)}
    assert (tracked < held, len(held - tracked)) == (True, len(TAGS))
    for tag in TAGS:
        statements = theirs.attestations(f"{registry.host}/demo:{tag}", keys, PROVENANCE)
        times = [statement["predicate"]["runDetails"].pop("metadata", {}) for statement in statements]  # type: ignore[index]
        assert sorted(map(len, times)) == [0, 3]
        assert statements[0] == statements[1]
    # Nothing to do is nothing to do; another machine, on another day, takes it as it is.
    assert tree.scons("push-manifest", *full).steps == []
    other = tree.copy(tree.path.parent / "elsewhere" / "tree")
    other.remove("_output/provenance")
    other.remove("_output/receipts")
    registry.requests()
    other.scons("push-manifest", *full)
    assert {seen.method for seen in registry.requests()} <= {"GET", "HEAD"}
    # Who wants none leaves it there, and nobody misses it.
    tree.scons("push-manifest", *words(registry, keys))
    (untracked,) = {str(item["digest"]) for item in referrers(registry, "v1.0")} - tracked
    registry.delete_manifest("demo", untracked)
    assert tree.scons("push-manifest", *words(registry, keys)).steps == []
    assert set(tree.scons("push-manifest", *full).steps) == {step.format(registry.host) for step in ATTESTS}
    assert len(predicates(registry, "v1.0")) == 5


def test_the_file_of_a_run_is_written_with_the_statement_that_it_belongs_to(tree: Tree):
    tree.scons("provenance", "PROVENANCE=full")
    file = tree.path / "_output/provenance/demo-linux-amd64.full.json"
    before = file.read_bytes()
    assert tree.scons("provenance", "PROVENANCE=full").up_to_date
    assert file.read_bytes() == before
    tree.append("share/greeting", "more")
    tree.scons("provenance")
    assert file.read_bytes() == before
    ran = tree.scons("provenance", "PROVENANCE=full")
    assert "demo-linux-amd64.full.json is of another build" in ran.text
    assert file.read_bytes() != before


def test_several_registries_each_have_them(tree: Tree, registry: Registry, keys: Keys):
    said = words(f"{registry.host}/one,{registry.host}/two", keys)
    ran = tree.scons("push-manifest", *said)
    assert len([step for step in ran.steps if step.startswith("Attest")]) == 6
    lists_of = [registry.manifest(f"{where}/demo", digest_of(registry, f"{where}/demo"))[0] for where in ("one", "two")]
    assert lists_of[0] == lists_of[1]
    assert tree.scons("push-manifest", *said).steps == []


def attached(reference: str) -> list[str]:
    """Return the digests of what refers to an image, sorted."""
    return sorted(digest for digests in discovered(CACHE, reference).values() for digest in digests)


def delete(host: str, digest: str) -> None:
    """Delete a manifest of `demo` by digest, as the registry's owner may."""
    request = urllib.request.Request(f"http://{host}/v2/demo/manifests/{digest}", method="DELETE")  # loopback
    assert OPENER.open(request).status == 202


def digest_of(registry: Registry, repository: str) -> str:
    return str(registry.digest(repository, "v1.0")).replace(":", "-")


BY_HAND = """\
import sys

sys.path.insert(0, "site_scons")
import scons_multiarch

env = scons_multiarch.environment(PROGRAM="demo")
program = env.GoBinary("_output/bin/amd64/linux/demo", platform="linux/amd64")
image = env.Image("_output/images/demo.tar", program, dockerfile="Dockerfile.amd64", platform="linux/amd64")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
env.Attest(push, "said.json")
env.Targets(push=push)
"""

MANY = """\
import sys

sys.path.insert(0, "site_scons")
import scons_multiarch

env = scons_multiarch.environment(PROGRAM="demo")
pushes = []
for number in range(11):
    file, labels = f"_output/images/{number}.tar", {"number": str(number)}
    image = env.Image(file, dockerfile="Dockerfile", platform="linux/amd64", labels=labels)
    pushes += env.Push(image, f"$REPOSITORY:{number}")
    sboms = env.Sbom(f"_output/sbom/{number}", image)
    env.Attest(pushes[-1], [*sboms, env.Provenance(f"_output/provenance/{number}.json", image)])
env.Targets(push=pushes)
"""


def spdx(tool: str, number: int) -> str:
    """Return what stands for an SBOM, made by a tool."""
    created = {"created": "1970-01-01T00:00:00Z", "creators": [tool]}
    return json.dumps({"spdxVersion": "SPDX-2.3", "creationInfo": created, "number": number})
