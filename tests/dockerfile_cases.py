"""Dockerfiles without RUN and the context they stand in, for comparison with other engines. Modes are 0755 and 0644."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

from multiarch_oci.config import History, ImageConfig
from multiarch_oci.engine import Base
from multiarch_oci.layer import Entry
from workshop import Workshop


def make_context(folder: Path) -> Path:
    """Fill a folder with what the cases copy."""
    files = {
        "demo": b"#!/bin/sh\necho demo\n",
        "a.txt": b"a\n",
        "b.txt": b"b\n",
        "c.md": b"c\n",
        "web/index.html": b"<html>",
        "web/img/one.svg": b"<svg>",
        "web/img/two.svg": b"<svg/>",
        "web/sub/deep/x.txt": b"x\n",
        "web/sub/y.md": b"y\n",
        "etc/app.conf": b"conf\n",
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/x\napp:x:1000:1001::/home/app:/bin/sh\n",
        "etc/group": b"root:x:0:\nstaff:x:50:\n",
        "arr[0].txt": b"odd\n",
        "space name.txt": b"s\n",
        "ignored/secret.txt": b"no\n",
        "ignored/kept.txt": b"yes\n",
        "_output/bin/amd64/linux/demo": b"\x7fELF-not-really",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "empty").mkdir()
    (folder / "links").mkdir()
    (folder / "links/to-file").symlink_to("../a.txt")
    (folder / "links/to-dir").symlink_to("../web/img")
    (folder / "links/dangling").symlink_to("nowhere")
    (folder / "links/absolute").symlink_to("/web/index.html")
    (folder / "top-link").symlink_to("web")
    (folder / ".dockerignore").write_text("ignored/*\n!ignored/kept.txt\n**/*.bak\n", encoding="ascii")
    (folder / "x.bak").write_bytes(b"bak")
    (folder / "pack.tar").write_bytes(_pack())
    for suffix, text in PACKED.items():
        (folder / f"pack{suffix}").write_bytes(base64.b85decode(text))
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name == "demo" else 0o644)
    return folder


def _pack() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, kind, bits, owner, text in (
            ("./", tarfile.DIRTYPE, 0o755, 0, ""),
            ("./d", tarfile.DIRTYPE, 0o750, 7, ""),
            ("./d/tool", tarfile.REGTYPE, 0o4755, 7, "tool"),
            ("./d/again", tarfile.LNKTYPE, 0o4755, 7, "./d/tool"),
            ("./d/link", tarfile.SYMTYPE, 0o777, 0, "tool"),
            ("deep/er/file", tarfile.REGTYPE, 0o600, 0, "secret"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid = kind, bits, owner, owner
            content = text.encode() if kind == tarfile.REGTYPE else b""
            member.linkname, member.size = ("" if content else text), len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


PACKED = {  # the tar of `_pack`, packed once: compressors differ from host to host
    ".tar.gz": (
        "ABzY8000000t4;VOAdlC6hP4~g%!{b(5{C_HADgiaQ_k#qbUrWv>Lf*@|ZEW>1%T-"
        "qEic3RqI@YbLZP?Wkgnq1n$#ZkIOH`G3Bz6Y5G4KyI}72FA7WlRQ=~+=py$oU*~_Xe;M?5rYuFK=pS9|_W1qtUtj9B|LXY<_P<uv"
        "Xp!j@%ZdFjySBeZzyF>4{QalZ`u;O1meaxeH{Rc*ALY62e9ZoK+x@M%-SpR%`#*)rpGH4(4*~!H00000008`p2WZB;egG%{00"
    ),
    ".tar.bz2": (
        "LRx4!F+o`-Q(0X=UWNbwg!_QmfIt910snvm#c!?N00<~B0NC3NO+!sI00Te<hol-"
        "I88iR@4FCcqB%X(;(@^qEMkk~hJxu;PW!Sn*3&7H7fIao9rv3P0S^71s;L?=zWF(jx=9spHMMwh|AMD|G*C`Xl_CDoD&LZp^r~>o"
        "(%PT-"
        ";R+c8|8ZsW+DAo!viqwZ#<}5xXCIJH$)su<yBqgBKWD7pB1+qvpbHyoPH_}r~1B8RXN&?gnM>B#SoFQW*yJFymA_w@pk}1N3g6ab"
        "FFa"
    ),
    ".tar.xz": (
        "{Wp48S^xk9=GL@E0stWa761SMbT8$j;3xk8$6Wvy3%neC0hPcVN<MiNzj*pheJl^P06-CoJ)Cke_MxR}Bfiz;O?pf?;%tbg^@j-"
        "%veK2Z6~{`hzJqwl96YStY->J@WpPb9<(WlaU_K`i41?Mj=FK$Nl-"
        ">tc1cbk~NMuo^&7+5WE?#o&Cq9rFqdrJ}wW@Rs*wDT1ThzE_S~`jj=kw<aWt5i5Cs>VdrUf5;?pSvP0M^q4EyXM+XrJlLED)A9DC"
        "Q8VRDDDDrt&(BJ4SNg5+SsZ2G%3<e75?gF?0X`8MH?3^xK|n00H9xfKUJc$_xPSvBYQl0ssI200dcD"
    ),
}
CASES = {
    "one file to the root": "COPY demo /",
    "one file renamed": "COPY demo /bin/run",
    "one file into a folder by slash": "COPY demo /opt/tools/",
    "two files into a folder": "COPY a.txt b.txt /data/",
    "a glob": "COPY *.txt /data/",
    "a glob of one letter": "COPY ?.md /data/",
    "a glob with a class": "COPY [ab].txt /data/",
    "a glob that matches nothing beside a file": "COPY demo nothing* /data/",
    "a glob over folders": "COPY web/*/*.svg /img/",
    "a glob that matches folders copies their contents": "COPY web/* /w/",
    "odd names escaped by a class": "COPY arr[[]0].txt /odd/",
    "a name with a blank": 'COPY ["space name.txt", "/with blank/"]',
    "a folder's contents": "COPY web /srv/www",
    "a folder's contents, with slashes": "COPY web/ /srv/www/",
    "a folder into one that is there": "COPY web /w\nCOPY etc /w",
    "a folder over the same one": "COPY web /w\nCOPY --chown=5:6 web /w",
    "an empty folder": "COPY empty /e",
    "the whole context": "COPY . /src",
    "the whole context, to the root": "COPY . /",
    "links inside a folder stay links": "COPY links /l",
    "a link to a file is followed": "COPY links/to-file /l/f",
    "a link to a folder is followed": "COPY links/to-dir /l/d",
    "a path through a link is followed": "COPY top-link/img/one.svg /one.svg",
    "an absolute link is followed inside the context": "COPY links/absolute /abs",
    "the destination is a link to a folder": "COPY links /l\nCOPY web/img /web/img\nCOPY a.txt /l/to-dir/",
    "the destination is a link to a file": "COPY links /l\nCOPY b.txt /l/to-file",
    "a file of .dockerignore's exceptions": "COPY ignored /i",
    "chown by numbers": "COPY --chown=1000:2000 web /w",
    "chown by a lone number": "COPY --chown=1000 demo /x/y/demo",
    "chown by name": "COPY etc /etc\nCOPY --chown=app:staff demo /x/demo",
    "chown by a lone name": "COPY etc /etc\nCOPY --chown=app demo /x/demo",
    "chown root": "COPY --chown=root:root demo /x/demo",
    "chmod of a file": "COPY --chmod=0600 a.txt /x/a.txt",
    "chmod with set-uid": "COPY --chmod=4755 demo /x/demo",
    "workdir is relative to the last": "WORKDIR /a\nWORKDIR b/../c\nCOPY a.txt .\nCOPY b.txt ./sub/",
    "workdir belongs to the user": "USER 1000:1001\nWORKDIR /mine/here",
    "a later file wins": "COPY a.txt /f\nCOPY b.txt /f",
    "arguments in names": "ARG TARGETARCH\nARG TARGETOS\nCOPY _output/bin/${TARGETARCH}/${TARGETOS}/demo /demo",
    "env in names": "ENV D=/data F=a\nCOPY $F.txt $D/${F}x",
    "add unpacks a tar": "ADD pack.tar /p",
    "add unpacks gzip": "ADD pack.tar.gz /p/",
    "add unpacks bzip2": "ADD pack.tar.bz2 /p/",
    "add unpacks xz": "ADD pack.tar.xz /p/",
    "add of a file that is no archive": "ADD a.txt /p/",
    "copy does not unpack": "COPY pack.tar.gz /p/",
    "add of a folder": "ADD web /w/",
    "add with chown": "ADD --chown=9:9 pack.tar /p",
    "dot as destination": "WORKDIR /wd\nCOPY web .",
    "a destination that ends in /.": "COPY a.txt /x/.",
    "a destination with ..": "COPY a.txt /x/../y/z",
    "a source with ..": "COPY ../a.txt web/../b.txt /up/",
    "a source with a leading slash": "COPY /a.txt /web/index.html /s/",
}
STAGES = {
    "from a stage by name": "FROM scratch AS one\nCOPY web /w\nFROM scratch\nCOPY --from=one /w/img /i",
    "from a stage by number": "FROM scratch\nCOPY a.txt /w/a\nFROM scratch\nCOPY --from=0 /w /i",
    "from a stage keeps owners": "FROM scratch AS one\nCOPY --chown=7:8 web /w\nFROM scratch\nCOPY --from=one /w /i",
    "a stage on a stage": "FROM scratch AS one\nCOPY a.txt /a\nFROM one\nCOPY b.txt /b",
    "a glob in a stage": "FROM scratch AS one\nCOPY web /w\nFROM scratch\nCOPY --from=one /w/*/*.svg /i/",
    "links of a stage": "FROM scratch AS one\nCOPY links /l\nCOPY web /web\nFROM scratch\nCOPY --from=one /l /l\n"
    "COPY --from=one /l/absolute /f",
    "a file of a stage replaced": "FROM scratch AS one\nCOPY a.txt /f\nCOPY b.txt /f\nFROM scratch\nCOPY --from=one /f /",
    "a stage that nobody needs": "FROM scratch AS no\nCOPY missing /\nFROM scratch\nCOPY a.txt /",
    "arg before from": "ARG B=scratch\nFROM $B\nARG B\nENV C=${B}x\nCOPY a.txt /$C",
    "the folder that a stage's workdir made": "FROM scratch AS one\nWORKDIR /a/b\nFROM scratch\nCOPY --from=one /a /c",
}
NEWER = {
    "here-document": "COPY <<EOF /etc/motd\nhello\n  world $HOME\nEOF",
    "here-document with variables": "ENV A=1\nCOPY <<EOF /x/\na=$A ${B:-none}\nEOF",
    "here-document, quoted": "ENV A=1\nCOPY <<'EOF' /x/\na=$A\nEOF",
    "here-document, tabs cut": "COPY <<-EOF /x/t\n\ta\n\t\tb\nEOF",
    "two here-documents": "COPY <<a <<b /two/\nA\na\nB\nb",
    "here-document with chmod": "COPY --chmod=755 <<run /bin/run\n#!/bin/sh\nrun",
    "link": "COPY web /w\nCOPY --link a.txt /w/index.html",
    "link with chown": "COPY --link --chown=3:4 web /w",
    "chmod of a folder": "COPY --chmod=0750 web /x/y",
    "symbolic chmod": "COPY --chmod=u=rwX,go=rX web /w\nCOPY --chmod=a+x,g-r a.txt /x/a",
    "symbolic chmod, copied classes": "COPY --chmod=g=u,o= web /w\nCOPY --chmod=u+s,+t demo /d",
    "exclude": "COPY --exclude=*.svg --exclude=sub/deep web /w",
    "exclude with exception": "COPY --exclude=img/* --exclude=!img/two.svg web /w",
    "exclude everywhere": "COPY --exclude=**/*.md . /w",
    "exclude does not touch a lone file": "COPY --exclude=*.txt a.txt b.txt /w/",
    "exclude with a glob": "COPY --exclude=*.txt ?.* /w/",
    "exclude in add": "ADD --exclude=img web /w",
    "parents": "COPY --parents web/img/one.svg a.txt /p/",
    "parents with a glob": "COPY --parents web/*/*.svg /p/",
    "parents with a double star": "COPY --parents **/*.txt /p/",
    "parents with a pivot": "COPY --parents web/./img/one.svg /p/",
    "parents of a folder": "COPY --parents web/sub /p/",
    "parents and exclude": "COPY --parents --exclude=**/deep web/sub /p/",
    "parents from a stage": "COPY --parents --from=0 /w/img/*.svg /p/",
    "add without unpacking": "ADD --unpack=false pack.tar /p/",
    "add two, an archive among them": "ADD a.txt pack.tar /p/",
    "copy into a folder through dots": "COPY web/. /w/./",
    "several sources for one file": "COPY a.txt b.txt /x",
    "parents of a link": "COPY --parents links/to-file links/absolute /p/",
    "parents with a glob before the pivot": "COPY --parents w*/./*/*.svg /p/",
    "parents in folders that are there": "COPY --chmod=0700 --chown=7 web /p/web\nCOPY --parents --chmod=o= web/img/*.svg /p/\n"
    "COPY --parents --chmod=o= web/sub/*.md **/x.txt /q/",
    "a here-document and a file": "COPY a.txt <<b /two/\nB\nb",
}
BASED = {
    "a folder of one's own": "FROM base\nCOPY demo /app/demo\nCOPY web /srv/\n",
    "through a link to a folder of the base": "FROM base\nCOPY demo /bin/demo\n",
    "a folder of the base keeps its mode": "FROM base\nCOPY demo /tmp/x/demo\nWORKDIR /tmp\n",
    "a folder of the base keeps its owner": "FROM base\nCOPY --chown=app:staff demo /home/app/\nCOPY a.txt .\n",
    "workdir through a link": "FROM base\nCOPY a.txt /var/run/a\nUSER 0\nWORKDIR /var/run/q\n",
    "workdir for the base's user": "FROM base\nWORKDIR y/z\n",
    "files of an image": "FROM scratch\nCOPY --from=base /bin/tool /usr/bin/again /t/\nCOPY --from=base /home /h\n"
    "COPY --from=base /opt /gone /o/\nCOPY --from=base --chown=5 --chmod=700 /opt/a /q\n",
    "all files of an image": "FROM scratch\nCOPY --from=base / /all\n",
    "files of a stage on an image": "FROM base AS q\nCOPY web /opt/a/\nFROM scratch\nCOPY --from=q /opt /opt\n"
    "COPY --from=q /var/run /r\n",
    "the base's config": 'FROM base\nENV A=$B$OB\nLABEL q=1\nENTRYPOINT ["x"]\nEXPOSE 2\nVOLUME /w\n',
    "a cmd of one's own": "FROM base\nCMD q\n",
    "files of the base replaced": "FROM base\nCOPY a.txt /etc/passwd\nCOPY etc/group /etc/\n",
    "linked layers over folders and links of the base": "FROM base\nCOPY --link demo /bin/demo\nCOPY --link a.txt /tmp/\n"
    "COPY --link --chmod=640 b.txt /home/app/\nCOPY --link c.md /opt/a/x/\nWORKDIR /bin/q\n",
    "a linked layer below the working directory": "FROM base\nWORKDIR w\nCOPY --link --chown=3 a.txt x/\nCOPY b.txt x\n",
    "folders of the base written over": "FROM base\nCOPY web /opt/a\nCOPY empty /home/app\nCOPY etc /etc\n",
}
CONFIGURED = {
    "every member": "ARG G=1\nFROM scratch AS s\nARG X=1 Y\nARG G\nENV A=1 B='c d'\nENV A=$A.2\nLABEL l='1 2' m=$B\n"
    'USER 1:2\nEXPOSE 80 90-92/udp 1.2.3.4:80:443\nVOLUME /a /b\nVOLUME ["/x y"]\nSTOPSIGNAL 9\n'
    'SHELL ["/s", "-c"]\nCMD ["a", "b\\"c"]\nHEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=10ms '
    '--retries=3 --start-interval=1ms CMD ["/h", "x"]\nMAINTAINER me <a@b>\nONBUILD ENV A=1\nENTRYPOINT x $A\n'
    "WORKDIR /w/$A\nWORKDIR ../q\nWORKDIR rel/\nCOPY --chown=1:1 --chmod=644 a.txt /x/\n"
    "ADD --chown=1 a.txt b.txt ./\nCOPY <<one <<two /h/\n1\none\n2\ntwo\n",
    "cmd and entrypoint of two stages": 'FROM scratch AS s\nCMD ["a"]\nENTRYPOINT ["b"]\nFROM s\nENTRYPOINT ["c"]\n'
    "HEALTHCHECK NONE\nONBUILD COPY a.txt /o\n",
    "empty cmd, onbuild of a stage": "FROM scratch AS s\nCMD a b\nONBUILD COPY a.txt /o\nONBUILD ARG Z=$A\nFROM s\n"
    "CMD []\nENTRYPOINT []\n",
    "quoting": 'FROM scratch\nLABEL a=\'ä\t"x\' b=\\\\\nCMD ["ä\\u200b\\t\\u0001"]\nENTRYPOINT echo \'q\'  "x"\n',
    "scopes of arguments": "ARG A=1\nARG B=${A}2\nARG TARGETARCH=zzz\nFROM scratch AS xa\nARG A=5\nARG B\nARG TARGETARCH\n"
    "ARG TARGETPLATFORM TARGETSTAGE TARGETVARIANT=q\nARG C=${B:-none} D=${nothing:-d} E=${C:+e} F\n"
    "ENV Z=$A$B$C$D$E$F$TARGETARCH$TARGETPLATFORM$TARGETSTAGE-$TARGETVARIANT\nENV A=env\nARG A=again\nENV Y=$A\n",
    "working directories": "FROM scratch\nWORKDIR /w/../x/\nWORKDIR y//z/\nWORKDIR /a//b\nCOPY a.txt .\nWORKDIR /\n",
    "shell form under two shells": 'FROM scratch\nCMD ["x"]\nENTRYPOINT y\nSHELL ["q"]\nCMD z\n',
    "ports that are words of a variable": 'ARG P="3000 4000/udp"\nFROM scratch\nARG P\nENV Q=81-82\n'
    "EXPOSE $P ${Q}/sctp ${NONE:-7}\nEXPOSE ${NONE}\nEXPOSE 9/TCP\n",
    "stages on other platforms": "FROM --platform=linux/arm64 scratch AS a\nARG TARGETARCH\nENV A=$TARGETARCH\nCOPY a.txt /a\n"
    "FROM a\nENV B=$A\nCOPY --from=0 /a /b\n",
    "nothing copied": "FROM scratch\nCOPY nothing* /x/\nWORKDIR /w\nWORKDIR /w\n",
}
EVERY = (
    {name: f"FROM scratch\n{text}\n" for name, text in CASES.items()}
    | {name: f"{text}\n" for name, text in STAGES.items()}
    | {
        name: ("FROM scratch\nCOPY web /w\n" if "--from=0" in text else "") + f"FROM scratch\n{text}\n"
        for name, text in NEWER.items()
    }
    | BASED
    | CONFIGURED
)


def make_base(shop: Workshop) -> Base:
    """Put the image `base` of the cases into a workshop."""
    first = (
        *(Entry.directory(path) for path in ("usr", "usr/bin", "etc", "home", "var", "run", "gone")),
        Entry.symlink("bin", "usr/bin"),
        Entry.directory("tmp", mode=0o1777),
        Entry.of_bytes("etc/passwd", b"root:x:0:0::/:/x\napp:x:100:101::/:/x\n"),
        Entry.of_bytes("etc/group", b"root:x:0:\nstaff:x:50:\n"),
        Entry.directory("home/app", mode=0o700, uid=100, gid=101),
        Entry.of_bytes("usr/bin/tool", b"tool", mode=0o4755),
        Entry.hardlink("usr/bin/again", "usr/bin/tool"),
        Entry.symlink("var/run", "/run"),
        Entry.of_bytes("gone/f", b""),
    )
    second = (
        *(Entry.directory(path) for path in ("usr", "gone", "opt", "opt/a")),
        Entry.whiteout("gone/f"),
        Entry.of_bytes("opt/a/x", b"x", mode=0o600),
    )
    config = ImageConfig(
        shop.platform,
        history=(History("2020-01-01T00:00:00Z", "base"), History("2020-01-01T00:00:00Z", "second")),
        user="app",
        exposed_ports=("1/tcp",),
        env=("PATH=/p", "B=1"),
        entrypoint=("/e",),
        cmd=("c",),
        volumes=("/v",),
        working_dir="/opt/a",
        labels=(("z", "1"),),
        on_build=("ENV OB=1",),
    )
    return shop.base("base", first, second, config=config)
