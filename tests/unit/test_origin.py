"""Where the source lies on the web, as tracked files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.origin import Origin, address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("git+https://github.com/a/b.git", "https://github.com/a/b"),
        ("git://github.com/a/b.git", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        ("git+ssh://git@github.com:22/a/b.git", "https://github.com/a/b"),
        ("https://user:secret@example.org:8443/a/b?token=x#y", "https://example.org:8443/a/b"),
        ("example.com/docs", ""),
        ("a/b", ""),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("file:///home/a/b", ""),
        ("/home/a/b", ""),
        ("../b", ""),
        ("https://exa mple.org/a", ""),
        ("https://example.org/\x1b[31m", ""),
        ("https://[bad/a", ""),
        ("", ""),
    ],
)
def test_a_repository_is_an_https_address_without_a_login(text: str, expected: str):
    assert address(text) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("go.mod", "// c\nmodule github.com/a/b/v2\n\ngo 1.24\n", Origin("https://github.com/a/b")),
        ("go.mod", "module example.org/a/b\n", Origin()),
        ("go.mod", "module gitlab.com/group/sub/project\n", Origin()),
        ("go.mod", "module gitlab.com/group/project/v2\n", Origin("https://gitlab.com/group/project")),
        ("package.json", '{"repository": "gitlab:a/b", "homepage": "a/b"}', Origin("https://gitlab.com/a/b")),
        ("go.mod", "module demo\n", Origin()),
        (
            "Cargo.toml",
            '[package]\nrepository = "https://github.com/a/b"\nhomepage = "https://b.example"\n',
            Origin("https://github.com/a/b", "https://b.example"),
        ),
        ("Cargo.toml", "[package\n", Origin()),
        ("Cargo.toml", "package = 3\n", Origin()),
        ("package.json", '{"repository": {"type": "git", "url": "git+https://github.com/a/b.git"}}', Origin("https://github.com/a/b")),
        ("package.json", '{"repository": "a/b", "homepage": "https://b.example/"}', Origin("https://github.com/a/b", "https://b.example")),
        ("package.json", '{"repository": 3, "homepage": []}', Origin()),
        ("package.json", "[" * 100_000, Origin()),
        ("package.json", "\ufffe", Origin()),
    ],
)  # fmt: skip
def test_files_say_where_the_source_lies(tmp_path: Path, name: str, content: str, expected: Origin):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert Origin.of(tmp_path) == expected


def test_a_remote_of_git_says_nothing(tmp_path: Path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text('[remote "origin"]\n\turl = https://github.com/a/b\n', encoding="utf-8")
    assert Origin.of(tmp_path) == Origin()
