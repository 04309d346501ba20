"""What ATTEST has attached is declared only where it may be another: whatever is edited, it is as if it always were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machines.registry import Registry
from machines.small import Tree

ATTEST = "ATTEST=sbom,provenance"
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
