"""What ATTEST has attached is declared only where it may be another: whatever is edited, it is as if it always were."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable

import pytest

from faults import FaultProxy
from machines.referring import attached
from machines.registry import Registry
from machines.small import Tree

ATTEST = "ATTEST=sbom,provenance"
Maker = Callable[[str], Tree]
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated \
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the \
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit \
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the \
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE \
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR \
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR \
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
LOCAL = {
    "local/go.mod": "module example.org/local\n\ngo 1.21\n",
    "local/local.go": 'package local\n\nconst Word = "local"\n',
    "go.mod": "module example.com/demo\n\ngo 1.21\n\nrequire example.org/local v0.0.0\n\n"
    "replace example.org/local => ./local\n",
    "word.go": 'package main\n\nimport "example.org/local"\n\nvar _ = local.Word\n',
}
SBOM, OTHER, STATEMENT = (
    f"_output/{name}"
    for name in ("sbom/demo-linux-amd64.spdx.json", "sbom/demo-v1.0.cdx.json", "provenance/demo-linux-arm64.json")
)
EDITS: tuple[tuple[str, Callable[[Tree], object]], ...] = (
    ("a comment in a program", lambda tree: tree.append("main.go", "// a remark\n")),
    ("a comment in go.mod", lambda tree: tree.append("go.mod", "// a remark\n")),
    ("a comment in the go.mod of a folder", lambda tree: tree.append("local/go.mod", "// a remark\n")),
    ("a checksum", lambda tree: tree.edit("go.sum", "example.org/x v1.0.0/go.mod h1:AAAA\n")),
    ("a licence", lambda tree: tree.edit("LICENSE", MIT)),
    ("the licence of a folder", lambda tree: tree.edit("local/LICENSE", MIT)),
    ("another licence", lambda tree: tree.append("LICENSE", "And more.\n")),
    ("a comment in an ignore file", lambda tree: tree.append(".dockerignore", "# a remark\n")),
    ("a comment in a Dockerfile", lambda tree: tree.append("Dockerfile.amd64", "# a remark\n")),
    ("a file that is copied", lambda tree: tree.append("share/note.txt", "more\n")),
    ("an SBOM that is gone", lambda tree: (tree.path / SBOM).unlink()),
    ("an SBOM that was written to", lambda tree: tree.append(OTHER, " ")),
    ("a provenance that is gone", lambda tree: (tree.path / STATEMENT).unlink()),
    ("what was known is gone", lambda tree: (tree.path / ".multiarch/attested.json").unlink()),
    ("nothing", lambda tree: tree),
)


def declares(run: str) -> bool:
    """Return whether a run that was asked for its tree of targets shows documents in it."""
    assert "_output/receipts/attestations" in run
    return "_output/sbom" in run or "_output/provenance" in run


def is_whole(tree: Tree, *words: str) -> bool:
    """Return whether a run that declares all documents, as it was asked for them, finds nothing to do."""
    ran = tree.scons("sbom", "provenance", *words)
    assert ran.status == 0, ran.text
    return ran.up_to_date


def test_whatever_is_edited_documents_are_what_they_are_when_they_are_asked_for(fresh: Tree, registry: Registry):
    for name, text in LOCAL.items():
        fresh.edit(name, text)
    words = [f"REGISTRY={registry.host}", ATTEST]
    assert fresh.scons("push-manifest", *words).status == 0
    for name, edit in EDITS:
        edit(fresh)
        before = documents(fresh)
        ran = fresh.scons("push-manifest", *words)
        assert ran.status == 0, ran.text
        after = documents(fresh)
        assert is_whole(fresh, *words), name
        assert documents(fresh) == after, name
        assert (before != after) == (name not in ("a checksum", "what was known is gone", "nothing")), name
        quiet = fresh.scons("push-manifest", *words)
        assert quiet.up_to_date, (name, quiet.text)
    assert fresh.scons("verify", *words).status == 0


def documents(tree: Tree) -> dict[str, bytes]:
    """Return the bytes of all documents, by path."""
    folders = (tree.path / "_output" / name for name in ("sbom", "provenance"))
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.glob("*.json"))}


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        (["LABELS=team=blue"], True),
        (["ANNOTATIONS=team=blue"], True),
        (["BUILD_ARGS=PROXY=http://proxy.example"], True),
        (["ATTEST=sbom"], False),
        (["ATTEST=provenance"], False),
        (["PROVENANCE=full"], False),
    ],
)
def test_whatever_is_said_documents_follow(tree: Tree, registry: Registry, more: list[str], changes: bool):
    words = [f"REGISTRY={registry.host}", ATTEST]
    tree.scons("push-manifest", *words)
    tree.scons("push-manifest", *words)
    before = documents(tree)
    said = [*words, *more]
    ran = tree.scons("push-manifest", *said)
    assert ran.status == 0, ran.text
    known = {name: content for name, content in documents(tree).items() if not name.endswith(".full.json")}
    assert (before != known) == changes
    assert is_whole(tree, *said)
    assert tree.scons("push-manifest", *said).up_to_date
    assert tree.scons("push-manifest", *words).status == 0
    assert is_whole(tree, *words)
    assert tree.scons("verify", *words).status == 0


def test_a_run_with_nothing_to_do_declares_none(tree: Tree, registry: Registry):
    words = ["push-manifest", f"REGISTRY={registry.host}", ATTEST]
    assert declares(tree.scons(*words, "--tree=derived").text)
    tree.scons(*words)
    assert not declares(tree.scons(*words, "--tree=derived").text)
    named = registry.digest("demo", "v1.0-amd64")
    assert named is not None
    registry.delete_tag("demo", named.replace(":", "-"))
    ran = tree.scons(*words, "--tree=derived")
    assert declares(ran.text)
    assert [step for step in ran.steps if not step.startswith("Attest")] == []
    assert tree.scons("plan", *words).text.count("_output/sbom") >= 1


def test_who_asks_for_a_document_of_an_empty_tree_gets_what_one_without_attest_has(fresh: Tree, variant: Maker):
    fresh.scons("provenance", ATTEST)
    other = variant("other")
    other.scons("provenance")
    assert fresh.digests("_output/provenance") == other.digests("_output/provenance")
    assert fresh.scons("provenance", ATTEST).up_to_date


def test_who_names_a_document_gets_it_from_an_empty_tree(tree: Tree, registry: Registry):
    tree.append(
        "SConstruct",
        "\nenv.Alias('push-manifest', env.Command('_output/copy.json', '_output/sbom/demo-linux-amd64.spdx.json', "
        "Copy('$TARGET', '$SOURCE')))\n",
    )
    words = ["push-manifest", f"REGISTRY={registry.host}", ATTEST]
    ran = tree.scons(*words)
    assert ran.status == 0, ran.text
    assert tree.read("_output/copy.json") == tree.read(SBOM)
    assert tree.scons(*words).up_to_date
    tree.edit("LICENSE", MIT)
    assert tree.scons(*words).status == 0
    assert tree.read("_output/copy.json") == tree.read(SBOM)


SPDX = """\
{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "dataLicense": "CC0-1.0", "name": "theirs",
 "documentNamespace": "https://example.org/theirs", "creationInfo": {"created": "1970-01-01T00:00:00Z",
 "creators": ["Tool: theirs"]},
 "packages": [{"SPDXID": "SPDXRef-a", "name": "ghost", "versionInfo": "6.6.6", "downloadLocation": "NOASSERTION",
 "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
 "referenceLocator": "pkg:generic/ghost@6.6.6"}]}]}
"""
DECLARED = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "go_binary", "oci_attest", "oci_targets"])
"""


def is_attached(tree: Tree, registry: Registry, repository: str = "demo") -> bool:
    """Return whether all documents of this tree are what the registry has."""
    wanted = {f"sha256:{hashlib.sha256(content).hexdigest()}" for content in documents(tree).values()}
    return wanted <= attached(tree, registry, repository)


def test_an_sbom_that_is_given_no_more_is_taken_out(fresh: Tree, registry: Registry):
    fresh.edit("theirs.spdx.json", SPDX)
    fresh.edit("SConstruct", DECLARED + 'env.GoImage("demo", sbom="theirs.spdx.json")\n')
    words = [f"REGISTRY={registry.host}", ATTEST]
    for _ in range(2):
        fresh.scons("push-manifest", *words)
    assert "ghost" in fresh.read(SBOM)
    fresh.edit("SConstruct", DECLARED + 'env.GoImage("demo")\n')
    fresh.scons("push-manifest", *words)
    assert "ghost" not in fresh.read(SBOM)
    assert is_whole(fresh, *words)
    assert is_attached(fresh, registry)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('env.MultiarchImage("api", program, repository="team/x")', 'env.MultiarchImage("web", program, repository="team/x")'),
        ('env.GoImage("demo", repository="team/x")', 'env.GoImage("demo", repository="team/x", GOFLAGS="-v")'),
    ],
)  # fmt: skip
def test_what_documents_say_of_declarations_follows_them(fresh: Tree, registry: Registry, one: str, other: str):
    program = "def program(p):\n    return env.GoBinary(f'#/_output/bin/{p.directory}/demo', '.', platform=p)\n"
    words = [f"REGISTRY={registry.host}", ATTEST]
    fresh.edit("SConstruct", DECLARED + program + one + "\n")
    for _ in range(2):
        fresh.scons("push-manifest", *words)
    shutil.rmtree(fresh.path / "_output/sbom")
    shutil.rmtree(fresh.path / "_output/provenance")
    fresh.scons("push-manifest", *words)
    fresh.edit("SConstruct", DECLARED + program + other + "\n")
    old = [fresh.path / name for name in documents(fresh)]
    fresh.scons("push-manifest", *words)
    for path in old if "web" in other else ():
        path.unlink()
    assert is_whole(fresh, *words)
    assert is_attached(fresh, registry, "team/x")
    assert fresh.scons("push-manifest", *words).up_to_date


def test_an_edit_while_the_registry_is_asked_is_described_by_the_next_run(fresh: Tree, registry: Registry):
    with FaultProxy(registry.host) as proxy:
        words = ["push-manifest", f"REGISTRY={proxy.host}", ATTEST]
        fresh.edit("LICENSE", MIT)
        fresh.scons(*words)
        for kind in ("HEAD manifest", "GET manifest"):
            proxy.order(kind, stall=2, times=3)
        seen = len(proxy.seen)

        def edit() -> None:
            while len(proxy.seen) == seen:
                time.sleep(0.01)
            fresh.edit("LICENSE", "SPDX-License-Identifier: ISC\n")

        editor = threading.Thread(target=edit)
        editor.start()
        fresh.scons(*words)
        editor.join()
        fresh.scons(*words)
        assert "ISC" in fresh.read(SBOM)
        assert is_whole(fresh, *words[1:])


def test_what_is_promised_no_more_is_said(tree: Tree, registry: Registry):
    words = ["push-manifest", f"REGISTRY={registry.host}"]
    for _ in range(2):
        tree.scons(*words, ATTEST)
    answer = tree.scons("why", *words, "ATTEST=sbom").text
    assert "_output/provenance/demo-linux-amd64.json has no part in it any more" in answer
    assert not [line for line in answer.splitlines() if line.startswith("Attest") and "not built before" in line]
    ran = tree.scons(*words, "ATTEST=sbom")
    assert "_output/provenance/demo-v1.0.json has no part in it any more" in ran.text


def test_what_is_attached_by_hand_stands_beside_what_is_promised(fresh: Tree, registry: Registry):
    by_hand = """
chain = env.GoImage("demo")
for push, sbom, statement in zip(chain.pushes, chain.sboms, chain.provenances):
    env.Attest(push, [sbom, statement, "theirs.spdx.json"])
env.Attest(chain.published, [chain.index_sbom])
"""
    fresh.edit("theirs.spdx.json", SPDX)
    fresh.edit("SConstruct", DECLARED + by_hand)
    words = ["push-manifest", f"REGISTRY={registry.host}"]
    for more in ([], ["ATTEST=sbom"], [ATTEST], [ATTEST]):
        fresh.scons(*words, *more)
        assert fresh.scons(*words, *more).up_to_date
        theirs = hashlib.sha256(SPDX.encode()).hexdigest()
        assert f"sha256:{theirs}" in attached(fresh, registry, "demo")
    assert is_attached(fresh, registry)
