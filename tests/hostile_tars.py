"""Tar archives as nobody should write them, made from a number: equal numbers make equal archives."""

from __future__ import annotations

import bz2
import gzip
import lzma
from random import Random

RECORD = 512
NAMES = [
    b"a", b"b", b"bin", b"bin/sh", b"etc/passwd", b"usr/bin", b"d/", b"d/e/f", b"./a", b"a//b", b"", b".", b"/abs/x", b"..",
    b"../out", b"a/../../out", b"a/../b", b"/../x", b"\xff\xfe", b"gr\xc3\xb6\xc3\x9fe", b"sp ace", b"new\nline", b"back\\slash",
    b".wh.a", b"d/.wh..wh..opq", b".wh.", b"oci-layout", b"index.json", b"manifest.json", b"Files/x", b"CON", b"n" * 99,
    b"n" * 100, b"p/" * 49 + b"x",
]  # fmt: skip
KINDS = [b"0", b"0", b"0", b"0", b"5", b"5", b"1", b"2", b"2", b"\0", b"7", b"3", b"4", b"6", b"V", b"S", b"Z"]
RECORDS = [
    b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"SCHILY.xattr.user.x", b"GNU.sparse.map",
    b"GNU.sparse.major", b"GNU.sparse.name", b"MSWINDOWS.rawsd", b"hdrcharset", b"comment",
]  # fmt: skip
VALUES = [
    b"", b"0", b"1", b"5", b"-1", b"+3", b"7.5", b"-7.5", b"1e3", b"99999999999999999999", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775808", b"0x10", b"1_000", b" 1", b"x", b"a\0b", b"\xff", b"0,1,2,3", b"d/e",
    b"../../up", b"/x", b"n" * 300, b"q/" * 600 + b"x", b"q/" * 3000, b"binary",
]  # fmt: skip


def header(
    name: bytes = b"a",
    size: bytes | int = 0,
    typeflag: bytes = b"0",
    link: bytes = b"",
    *,
    magic: bytes = b"ustar\x0000",
    mode: bytes = b"0000644\0",
    prefix: bytes = b"",
    tail: bytes | None = None,
    wrong: int = 0,
) -> bytes:
    """One header block; `size` as a number, or as the bytes of its field."""
    field = b"%011o\0" % size if isinstance(size, int) else size.ljust(12, b"\0")
    head = name[:100].ljust(100, b"\0") + mode + b"0000000\0" * 2 + field + b"00000000000\0" + b" " * 8 + typeflag
    rest = prefix.ljust(155, b"\0") + bytes(12) if tail is None else tail
    head += link[:100].ljust(100, b"\0") + magic + bytes(64) + b"0000001\0" * 2 + rest
    return head[:148] + b"%06o\0 " % (sum(head) + wrong) + head[156:]


def filled(content: bytes) -> bytes:
    return content + bytes(-len(content) % RECORD)


def pax(*records: tuple[bytes, bytes], typeflag: bytes = b"x") -> bytes:
    body = b"".join(record(*each) for each in records)
    return header(b"PaxHeaders/x", len(body), typeflag) + filled(body)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def gnu(content: bytes, typeflag: bytes = b"L") -> bytes:
    return header(b"././@LongLink", len(content), typeflag, magic=b"ustar  \0") + filled(content)


def old_sparse(random: Random) -> bytes:
    """A file in GNU's old format with a map that is right, or nearly."""
    parts = [
        (random.choice([0, 512, 1024, 4000]) * at, random.choice([0, 512, 100])) for at in range(random.randrange(5))
    ]
    entries = b"".join(b"%011o\0%011o\0" % each for each in parts[:4]).ljust(96, b"\0")
    more = len(parts) > 4 or random.random() < 0.2
    size = max((offset + length for offset, length in parts), default=0) + random.choice([0, 0, 100, -1])
    tail = bytes(41) + entries + (b"\1" if more else b"\0") + b"%011o\0" % max(size, 0) + bytes(17)
    stored = sum(length for _, length in parts[:4]) + random.choice([0, 0, 0, 1])
    extension = bytes(RECORD) if more else b""
    return header(b"sparse", stored, b"S", magic=b"ustar  \0", tail=tail) + extension + filled(b"s" * stored)


def pax_sparse(random: Random) -> bytes:
    parts, at = [], 0
    for _ in range(random.randrange(4)):
        at += random.choice([0, 512, 777])
        length = random.choice([0, 1, 512, 600])
        parts.append((at, length))
        at += length
    size = at + random.choice([0, 100, 512]) + (random.choice([0, 0, 0, -1, 1 << 62]))
    stored = b"s" * sum(length for _, length in parts)
    numbers = [b"%d" % number for part in parts for number in part]
    form = random.choice(["0.0", "0.1", "1.0"])
    records = [(b"GNU.sparse.name", b"sparse-name"), (b"GNU.sparse.realsize", b"%d" % size)]
    if form == "0.0":
        records += [(b"GNU.sparse.numblocks", b"%d" % len(parts))]
        for offset, length in parts:
            records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % length)]
    elif form == "0.1":
        records += [(b"GNU.sparse.numblocks", b"%d" % (len(parts) + random.choice([0, 0, 0, 1])))]
        records += [(b"GNU.sparse.map", b",".join(numbers))]
    else:
        records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
        lines = [b"%d" % (len(parts) + random.choice([0, 0, 0, 0, 7])), *numbers]
        stored = filled(b"".join(line + b"\n" for line in lines)) + stored
    return pax(*records) + header(b"GNUSparseFile.0/x", len(stored)) + filled(stored)


def member(random: Random) -> bytes:
    chance = random.random()
    if chance < 0.06:
        return old_sparse(random)
    if chance < 0.14:
        return pax_sparse(random)
    before = b""
    while random.random() < 0.35:
        before += random.choice([_pax, _pax, _global, _long])(random)
    content = b"c" * random.choice([0, 1, 511, 512, 513, 2000])
    size: bytes | int = len(content)
    if random.random() < 0.06:
        size = random.choice([
            b"\x80" + bytes(10) + b"\5", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777", b"-0000000001", b"9", b" 12 ",
            b"0x10", b"\xc0" + bytes(11), 1 << 32,
        ])  # fmt: skip
    kind = random.choice(KINDS)
    magic = random.choice([b"ustar\x0000", b"ustar\x0000", b"ustar  \0", bytes(8)])
    prefix = random.choice([b"", b"", b"", b"", b"prefix/of", b"\xff"])
    wrong = 1 if random.random() < 0.02 else 0
    name, link = random.choice(NAMES), random.choice([*NAMES, b"../../../etc/shadow", b"/etc"])
    block = header(name, size, kind, link, magic=magic, prefix=prefix, wrong=wrong)
    return before + block + (filled(content) if kind not in (b"1", b"2", b"3", b"4", b"5", b"6") else b"")


def _pax(random: Random) -> bytes:
    records = [(random.choice(RECORDS), random.choice(VALUES)) for _ in range(random.randrange(1, 4))]
    made = pax(*records)
    if random.random() < 0.1:
        made = bytearray(made)
        made[RECORD + random.randrange(8)] = random.choice(b"0 =\n\xff9")
        return bytes(made)
    return made


def _global(random: Random) -> bytes:
    return pax((random.choice(RECORDS), random.choice(VALUES)), typeflag=b"g")


def _long(random: Random) -> bytes:
    return gnu(random.choice([*VALUES, b"l" * 250, b"long/name\0tail"]), random.choice([b"L", b"K"]))


def archive(seed: int) -> bytes:
    """The archive of this number, not packed."""
    random = Random(seed)  # noqa: S311
    body = b"".join(member(random) for _ in range(random.randrange(8)))
    end = random.choice(
        [bytes(1024)] * 6 + [b"", bytes(512), bytes(512) + b"x" * 512, bytes(10240), bytes(1024) + b"junk"]
    )
    whole = body + end
    chance = random.random()
    if chance < 0.08 and whole:
        whole = whole[: random.randrange(len(whole))]
    elif chance < 0.16 and whole:
        changed = bytearray(whole)
        for _ in range(random.randrange(1, 4)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        whole = bytes(changed)
    elif chance < 0.2:
        whole += archive(seed + 1_000_003)
    return whole


def packed(seed: int) -> bytes:
    """The archive of this number, packed in one way or another, or not, and perhaps damaged in that."""
    random = Random(-seed - 1)  # noqa: S311
    whole = archive(seed)
    cut = random.randrange(len(whole) + 1)
    made = random.choice([
        lambda: whole, lambda: gzip.compress(whole, mtime=0), lambda: bz2.compress(whole), lambda: lzma.compress(whole),
        lambda: gzip.compress(whole[:cut], mtime=0) + gzip.compress(whole[cut:], mtime=0),
        lambda: gzip.compress(whole, mtime=0) + b"garbage", lambda: gzip.compress(whole, mtime=0) + bytes(700),
        lambda: gzip.compress(gzip.compress(whole, mtime=0), mtime=0),
    ])()  # fmt: skip
    if random.random() < 0.1:
        made = made[: random.randrange(len(made) + 1)]
    if random.random() < 0.1 and made:
        changed = bytearray(made)
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        made = bytes(changed)
    return made
