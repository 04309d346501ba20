"""The quirks of registries, one row each, with the address where somebody met it."""

from __future__ import annotations

import base64
import json
import urllib.parse
from dataclasses import replace

from integration.quirk_scene import (
    CHUNK,
    HTML,
    LAYER,
    SCOPED,
    SIZE,
    Quirk,
    both,
    chunks_once,
    compressed,
    everywhere,
    grants_one,
    instead,
    labelled,
    listing,
    located,
    look_at_many,
    mount,
    mount_and_put,
    nothing_to_strangers,
    nothing_to_strangers_at_all,
    on,
    one_piece,
    pull,
    push_index,
    ranged,
    referrers,
    refreshes,
    retag,
    scope_of_the_token,
    sent,
    sent_to,
    takes,
    untyped,
)
from machines.odd import BASIC, TOKEN, Reply, refusal
from machines.registry import PASSWORD

ASK_BASIC = ('Basic realm="tests"',)
ACR = "https://github.com/Azure/acr/issues/98"
TOKENS = "https://distribution.github.io/distribution/spec/auth/token/"
DENIED = "(or it may not exist)"
LOCATIONS = (
    Quirk(
        "GHCR: Location is relative",
        "https://github.com/apple/swift-container-plugin/pull/44",
        both(on("POST", located("{path}")), on("PATCH", located("{path}"))),
    ),
    Quirk(
        "a Location without a leading slash is relative to the request",
        "https://github.com/opencontainers/distribution-spec/pull/80",
        on("POST", located("{name}")),
    ),
    Quirk(
        "Location has a query already, unescaped",
        "https://github.com/google/go-containerregistry/issues/2084",
        both(on("POST", located("{path}?_state=a/b+c==")), on("PATCH", located("{path}?_state=d%3D%3D"))),
        after=lambda scene: scene.registry.of("PUT blob")[0].query["_state"] == "d==",
    ),
    Quirk(
        "Location ends in a bare question mark",
        "https://github.com/opencontainers/distribution-spec/issues/415",
        both(on("POST", located("{path}?")), on("PATCH", located("{path}?"))),
    ),
    Quirk(
        "Location is on another host, which gets no Authorization",
        "https://github.com/opencontainers/distribution-spec/issues/56",
        on("POST", located("{beside}{path}")),
        after=nothing_to_strangers,
        challenges=ASK_BASIC,
    ),
    Quirk(
        "POST is redirected, and the other host's Location is relative to that host",
        "https://github.com/containerd/containerd/issues/11949",
        instead("POST", Reply(307, {"Location": "{beside}/v2/team/demo/blobs/uploads/"})),
        after=lambda scene: nothing_to_strangers(scene) and sent_to(scene.beside)[:1] == [CHUNK],
        challenges=ASK_BASIC,
    ),
    Quirk(
        "GHCR: POST is redirected to a path with %2F",
        "https://github.com/arg-sh/argsh/pull/135",
        lambda call, usual: (
            usual()
            if call.kind != "POST" or "%2F" in call.path
            else Reply(308, {"Location": "/v2/team%2Fdemo/blobs/uploads/"})
        ),
    ),
    Quirk(
        "behind a proxy that ends TLS, Location is this host by plain HTTP",
        "https://github.com/distribution/distribution/issues/996",
        both(on("POST", located("http://{host}{path}")), on("PATCH", located("http://{host}{path}"))),
        tls=True,
    ),
    Quirk(
        "behind a proxy that ends TLS, a redirect goes to this host by plain HTTP",
        "https://github.com/goharbor/harbor/issues/61",
        lambda call, usual: (
            usual()
            if call.kind != "GET blob" or call.query
            else Reply(307, {"Location": f"http://{{host}}{call.path}?again=1"})
        ),
        pull,
        tls=True,
    ),
    Quirk(
        "behind a proxy that loses the port, Location is unusable",
        "https://github.com/distribution/distribution/issues/2862",
        on("POST", located("http://registry.example{path}")),
        error="HOST/team/demo: the registry sends us over plain HTTP: http://registry.example/v2/team/demo/blobs/uploads/session-0\n"
        "  hint: if that is meant: INSECURE=registry.example",
        tls=True,
    ),
    Quirk(
        "behind a proxy that ends TLS and loses the port, Location is this name by plain HTTP",
        "https://github.com/distribution/distribution/issues/970",
        on("POST", located("http://127.0.0.1{path}")),
        error="HOST/team/demo: the registry sends us over plain HTTP: http://127.0.0.1/v2/team/demo/blobs/uploads/session-0\n"
        "  hint: the proxy before it has to pass on the headers Host and X-Forwarded-Proto as it got them",
        tls=True,
    ),
    Quirk(
        "plain HTTP is redirected to HTTPS at another port, for reading and writing",
        "https://github.com/distribution/distribution/issues/2862",
        lambda call, _: Reply(308, {"Location": f"{{beside}}{call.path}?{urllib.parse.urlencode(call.query)}"}),
        beside_tls=True,
        after=lambda scene: sent_to(scene.beside) == [CHUNK, CHUNK, CHUNK, SIZE - 3 * CHUNK],
    ),
    Quirk(
        "plain HTTP is redirected to HTTPS at another port, which wants a login",
        "https://github.com/distribution/distribution/issues/2862",
        lambda call, _: Reply(308, {"Location": f"{{beside}}{call.path}?{urllib.parse.urlencode(call.query)}"}),
        error="HOST/team/demo: BESIDE, where the registry sent us, answered 401 UNAUTHORIZED: authentication required\n"
        "  hint: if the registry itself has moved there, name that host",
        beside_tls=True,
        beside_challenges=ASK_BASIC,
        after=nothing_to_strangers_at_all,
    ),
    Quirk(
        "Location is missing",
        "https://github.com/oras-project/rust-oci-client/issues/235",
        on("POST", lambda _, reply: reply.but(drop="Location")),
        error="HOST/team/demo: the registry began an upload without saying where (no Location)",
    ),
)
UPLOADS = (
    Quirk(
        "ECR: the Range of a chunk stays at the end of the first",
        "https://github.com/aws/containers-roadmap/issues/2831",
        ranged(lambda _, __: f"0-{CHUNK - 1}"),
        after=chunks_once,
    ),
    Quirk(
        "Aliyun: the Range counts from the beginning of the chunk",
        "https://github.com/regclient/regclient/issues/627",
        ranged(lambda call, _: f"0-{len(call.body) - 1}"),
        after=chunks_once,
    ),
    Quirk(
        "Artifact Keeper: the Range ends one byte too far",
        "https://github.com/artifact-keeper/artifact-keeper/issues/1349",
        ranged(lambda _, usual: f"0-{int(usual[2:]) + 1}"),
        after=chunks_once,
    ),
    Quirk(
        "zot: the Range of a chunk is much too short",
        "https://github.com/regclient/regclient/issues/961",
        ranged(lambda _, __: "0-1023"),
        after=one_piece,
    ),
    *(
        Quirk(
            f"of each chunk {count} bytes are taken",
            "https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-a-blob-in-chunks",
            takes(count),
            after=lambda scene: one_piece(scene) and len(scene.registry.of("PATCH")) <= 6,
        )
        for count in (1, 2, 1000, CHUNK // 8 - 1)
    ),
    Quirk(
        "of each chunk a half is taken",
        "https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-a-blob-in-chunks",
        takes(CHUNK // 2),
        after=lambda scene: len(scene.registry.of("PATCH")) == 8,
    ),
    Quirk(
        "no Range after a chunk",
        "https://github.com/opencontainers/distribution-spec/pull/366",
        ranged(lambda _, __: ""),
        after=chunks_once,
    ),
    Quirk(
        "the Range is called bytes",
        "https://github.com/moby/moby/issues/9015",
        ranged(lambda _, usual: f"bytes={usual}"),
        after=chunks_once,
    ),
    Quirk(
        "the Range of an empty session is 0--1",
        "https://github.com/crashappsec/chalk/pull/682",
        on("POST", lambda _, reply: reply.but(Range="0--1")),
        after=chunks_once,
    ),
    *(
        Quirk(
            f"PATCH is answered by {status}",
            "https://github.com/distribution/distribution/issues/930",
            on("PATCH", lambda _, reply, status=status: reply.but(status=status)),
            after=chunks_once,
        )  # type: ignore[misc]
        for status in (200, 201, 204)
    ),
    Quirk(
        "Artifactory: nothing is taken in one piece",
        "https://github.com/docker/buildx/issues/196",
        lambda call, usual: (
            refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
            if call.kind == "PUT blob" and call.body
            else usual()
        ),
    ),
    Quirk(
        "nothing is taken at all",
        "https://github.com/moby/buildkit/issues/1130",
        instead("PUT blob", refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")),
        error=f"HOST/team/demo: the registry lost the upload of {LAYER.digest} 3 times\n"
        "  hint: is its storage full, or shared badly by several?",
    ),
    Quirk(
        "chunks are not taken",
        "https://github.com/openai/tart/pull/179",
        instead("PATCH", refusal(416, "UNSUPPORTED", "chunks")),
        after=one_piece,
    ),
    Quirk(
        "Cloudflare: a chunk is too large",
        "https://github.com/cloudflare/serverless-registry/issues/67",
        both(
            instead("PATCH", Reply(413, {}, HTML)),
            on("PUT blob", lambda call, reply: Reply(413, {}, HTML) if len(call.body) == SIZE else reply),
        ),
        error="HOST/team/demo: the registry refused to push: 413\n"
        "  hint: a proxy before it limits what it takes (nginx: client_max_body_size)",
    ),
    Quirk(
        "OCI-Chunk-Min-Length",
        "https://github.com/opencontainers/distribution-spec/pull/391",
        on("POST", lambda _, reply: reply.but(OCI_Chunk_Min_Length=str(2 * CHUNK))),
        after=lambda scene: sent(scene) == [2 * CHUNK, SIZE - 2 * CHUNK],
    ),
    Quirk(
        "ACR: a session is gone after a cut",
        "https://github.com/Azure/azure-sdk-for-java/issues/34276",
        both(
            instead("PATCH", Reply(cut=True), times=1, after=1),
            instead("GET upload", refusal(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")),
        ),
        after=lambda scene: sent(scene) == [CHUNK, CHUNK, CHUNK, CHUNK, CHUNK, SIZE - 3 * CHUNK],
    ),
    Quirk(
        "ECR: the same, and a session whose Range is old is asked after a cut",
        "https://github.com/aws/containers-roadmap/issues/2831",
        both(
            instead("PATCH", Reply(cut=True), times=1, after=2),
            on("GET upload", lambda _, reply: reply.but(Range=f"0-{CHUNK - 1}")),
            ranged(lambda _, __: f"0-{CHUNK - 1}"),
        ),
        after=one_piece,
    ),
    Quirk(
        "Artifact Keeper, Pulp: how much a session holds cannot be asked",
        "https://github.com/artifact-keeper/artifact-keeper/issues/3275",
        both(
            instead("PATCH", Reply(cut=True), times=1, after=1),
            instead("GET upload", refusal(405, "UNSUPPORTED", "unsupported")),
        ),
        after=lambda scene: len(scene.registry.of("GET upload")) == 1,
    ),
    Quirk(
        "a session expires between two chunks",
        "https://github.com/distribution/distribution/pull/3755",
        instead("PATCH", refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"), times=1, after=2),
    ),
    Quirk(
        "every answer ends its connection",
        "https://github.com/google/go-containerregistry/issues/2084",
        everywhere(lambda _, reply: reply.but(Connection="close")),
        after=chunks_once,
    ),
    Quirk(
        "uploads are redirected to another host, body and all, which gets no Authorization",
        "https://github.com/oras-project/oras-dotnet/pull/319",
        lambda call, usual: (
            Reply(307, {"Location": f"{{beside}}{call.path}?digest={call.query.get('digest', '')}"})
            if call.kind in ("PATCH", "PUT blob")
            else usual()
        ),
        after=nothing_to_strangers,
        challenges=ASK_BASIC,
    ),
    *(
        Quirk(
            f"the last PUT and that of a manifest are answered by {status}",
            "https://github.com/opencontainers/distribution-spec/issues/590",
            both(
                on("PUT blob", lambda _, reply, status=status: reply.but(status=status)),  # type: ignore[misc]
                on("PUT manifest", lambda _, reply, status=status: reply.but(status=status)),  # type: ignore[misc]
            ),
            after=chunks_once,
        )
        for status in (200, 202, 204)
    ),
    Quirk(
        "a kept connection is closed as we send",
        "https://github.com/GoogleContainerTools/jib/issues/4526",
        both(*(instead(kind, Reply(cut=True), times=1) for kind in ("POST", "PATCH", "PUT blob", "PUT manifest"))),
    ),
    Quirk(
        "201 without Docker-Content-Digest",
        "https://github.com/distribution/distribution/pull/3849",
        both(
            *(
                on(kind, lambda _, reply: reply.but(drop="Docker-Content-Digest"))
                for kind in ("PUT blob", "PUT manifest")
            )
        ),
    ),
    Quirk(
        "ECR: a repository that does not exist",
        "https://github.com/plexsystems/sinker/issues/55",
        instead(
            "POST",
            refusal(
                404, "NAME_UNKNOWN", "The repository with name 'team/demo' does not exist in the registry with id '1'"
            ),
        ),
        error="HOST/team/demo: the registry refused to push: 404 NAME_UNKNOWN: The repository with name 'team/demo' does not exist in the registry with id '1'\n"
        "  hint: make the repository (or its project) there first: this registry does not do it at a push",
    ),
    Quirk(
        "ECR: a push to a repository that does not exist is cut off",
        "https://github.com/aws/containers-roadmap/issues/1970",
        instead("POST", Reply(cut=True)),
        error="HOST: the connection was cut (tried 3 times)",
    ),
    Quirk(
        "Harbor: a project that does not exist",
        "https://github.com/goharbor/harbor/issues/20544",
        instead("POST", refusal(404, "NOT_FOUND", "project team not found")),
        error="HOST/team/demo: the registry refused to push: 404 NOT_FOUND: project team not found\n"
        "  hint: make the repository (or its project) there first: this registry does not do it at a push",
    ),
)
MOUNTS = (
    *(
        Quirk(
            f"a mount is answered by {status}",
            source,
            instead("mount", Reply(status)),
            mount,
            after=lambda scene: sent(scene) != [],
        )
        for status, source in (
            (202, "https://github.com/opencontainers/distribution-spec/issues/56"),
            (400, "https://github.com/distribution/distribution/issues/1692"),
            (401, "https://github.com/estesp/manifest-tool/issues/53"),
            (403, "https://github.com/oras-project/rust-oci-client/issues/235"),
            (404, "https://github.com/moby/moby/issues/20387"),
            (405, "https://github.com/moby/moby/issues/20387"),
        )
    ),
    Quirk(
        "a mount is answered by a session, which is used",
        "https://github.com/moby/moby/issues/20387",
        lambda call, usual: usual() if call.kind != "mount" else (call.query.clear(), usual())[1],
        mount,
        after=lambda scene: len(scene.registry.of("POST")) == 0,
    ),
    Quirk(
        "a mount is done, and named nowhere",
        "https://github.com/moby/moby/issues/20387",
        on("mount", lambda _, reply: reply.but(drop="Location")),
        mount,
        after=lambda scene: sent(scene) == [],
    ),
    Quirk(
        "GitLab: of two scopes the token holds the last only",
        "https://github.com/estesp/manifest-tool/issues/53",
        lambda call, usual: (
            replace(refusal(401, "UNAUTHORIZED", "authentication required"), challenges=(SCOPED,))
            if call.kind == "mount"
            else usual()
        ),
        mount,
        challenges=(SCOPED,),
    ),
)
READS = (
    *(
        Quirk(
            f"HEAD is answered by {status}, GET works",
            source,
            both(instead("HEAD manifest", Reply(status)), *also),
            pull,
        )
        for status, source, also in (
            (405, "https://github.com/distribution/distribution/issues/1485", (instead("HEAD blob", Reply(405)),)),
            (501, "https://github.com/chainguard-dev/apko/pull/2282", (instead("HEAD blob", Reply(501)),)),
        )
    ),
    Quirk(
        "Artifactory, CentOS: a HEAD of a manifest is answered by 403",
        "https://github.com/google/go-containerregistry/pull/1691",
        lambda call, usual: Reply(403) if call.kind == "HEAD manifest" and "sha256" not in call.path else usual(),
        pull,
    ),
    Quirk(
        "Artifactory: a push to tags whose HEAD is answered by 403",
        "https://github.com/containerd/containerd/pull/6684",
        instead("HEAD manifest", Reply(403)),
    ),
    Quirk(
        "a HEAD has no body: why it is refused is asked by GET",
        "https://github.com/containerd/containerd/pull/13755",
        lambda call, usual: refusal(403, "DENIED", "quota exceeded") if "/manifests/" in call.path else usual(),
        error="HOST/team/demo: not allowed to push (403 DENIED: quota exceeded); the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push, or the repository (or its project) has to be made there first; log in anew with: docker login HOST",
    ),
    Quirk(
        "Red Hat, ECR: a HEAD has no Docker-Content-Digest",
        "https://github.com/containerd/containerd/issues/3238",
        everywhere(lambda _, reply: reply.but(drop="Docker-Content-Digest")),
        pull,
    ),
    Quirk(
        "a HEAD has a Content-Length of 0",
        "https://github.com/opencontainers/distribution-spec/issues/207",
        lambda call, usual: usual().but(Content_Length="0") if call.method == "HEAD" else usual(),
        pull,
    ),
    Quirk(
        "a HEAD has no Content-Length",
        "https://github.com/opencontainers/distribution-spec/issues/207",
        lambda call, usual: (
            usual().but(Content_Length="", Transfer_Encoding="chunked") if call.method == "HEAD" else usual()
        ),
        pull,
    ),
    Quirk(
        "static hosting: no type, no digest, and a manifest that does not name its own type",
        "https://github.com/distribution/distribution/pull/2384",
        everywhere(lambda _, reply: reply.but(drop="Docker-Content-Digest", Content_Type="text/plain")),
        untyped,
    ),
    Quirk(
        "the media type has parameters",
        "https://github.com/distribution/distribution/issues/1485",
        everywhere(
            lambda _, reply: (
                reply.but(Content_Type=reply.headers["Content-Type"] + "; charset=utf-8")
                if "Content-Type" in reply.headers
                else reply
            )
        ),
        pull,
    ),
    Quirk(
        "what is sent is compressed unasked",
        "https://github.com/quay/quay/pull/1310",
        everywhere(compressed),
        pull,
        challenges=(SCOPED,),
    ),
    Quirk(
        "Pulp: a blob that is a gzip file is called x-gzip",
        "https://github.com/moby/moby/issues/17595",
        everywhere(labelled),
        pull,
    ),
    *(
        Quirk(
            f"blobs are redirected by {status}, relative",
            "https://github.com/oras-project/oras-dotnet/pull/423",
            lambda call, usual, status=status: (
                usual()  # type: ignore[misc]
                if call.query or call.kind not in ("GET blob", "HEAD blob")
                else Reply(status, {"Location": f"{call.path}?signed=1"})
            ),
            pull,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    Quirk(
        "blobs are redirected to a storage that gets no Authorization",
        "https://github.com/putdotio/putio-sdk-typescript/issues/68",
        lambda call, usual: (
            usual()
            if call.kind not in ("GET blob", "HEAD blob")
            else Reply(307, {"Location": f"{{beside}}{call.path}?X-Amz-Signature=1"})
        ),
        pull,
        after=nothing_to_strangers,
        challenges=ASK_BASIC,
    ),
    Quirk(
        "a storage takes the signature of a redirect for GET only",
        "https://github.com/artifact-keeper/artifact-keeper/issues/3209",
        lambda call, usual: (
            usual()
            if call.kind not in ("GET blob", "HEAD blob")
            else Reply(307, {"Location": f"{{beside}}{call.path}?signed=GET"})
        ),
        pull,
        after=lambda scene: "HEAD" in {call.method for call in scene.beside.calls},
    ),
    Quirk(
        "pages of tags are linked relative, absolute, and quoted in several ways",
        "https://github.com/opencontainers/distribution-spec/pull/80",
        lambda call, usual: (
            {
                "": Reply(
                    200,
                    {"Link": '</v2/team/demo/tags/list?last=v1>; rel="next"'},
                    b'{"name":"team/demo","tags":["v1"]}',
                ),
                "v1": Reply(200, {"Link": "<{url}/v2/team/demo/tags/list?last=v2>;rel=next"}, b'{"tags":["v2"]}'),
                "v2": Reply(200, {}, b'{"tags":null}'),
            }[call.query.get("last", "")]
            if call.path.endswith("/tags/list")
            else usual()
        ),
        listing,
    ),
    *(
        Quirk(
            f"no referrers API: {status}",
            "https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/referrers.go",
            lambda call, usual, status=status: (  # type: ignore[misc]
                Reply(status, {"Content-Type": "text/html"}, HTML) if "/referrers/" in call.path else usual()
            ),
            referrers,
        )
        for status in (200, 400, 404, 405, 406)
    ),
    Quirk(
        "no Docker-Distribution-Api-Version anywhere",
        "https://github.com/distribution/distribution/issues/1485",
        act=pull,
    ),
)
LOGINS = (
    *(
        Quirk(f"challenge: {name}", source, challenges=challenges, after=after)
        for name, source, challenges, after in (
            ("no scope", "https://github.com/containerd/containerd/issues/3556", (SCOPED,), scope_of_the_token),
            ("no service", TOKENS, ('Bearer realm="{url}/token"',), scope_of_the_token),
            (
                "lower case",
                "https://github.com/httpwg/http-core/issues/136",
                ('bearer REALM="{url}/token", Service="tests"',),
                scope_of_the_token,
            ),
            (
                "commas in quotes",
                "https://github.com/jetty/jetty.project/issues/2739",
                ('Bearer realm="{url}/token",service="a, b, Basic c",scope="repository:team/demo:pull,push"',),
                scope_of_the_token,
            ),
            (
                "two schemes in one header",
                "https://github.com/httpwg/http-core/issues/136",
                ('Basic realm="Artifactory, Realm", Bearer realm="{url}/token",service="tests"',),
                scope_of_the_token,
            ),
            (
                "two headers",
                "https://github.com/httpwg/http-core/issues/136",
                ('Basic realm="tests"', 'Bearer realm="{url}/token",service="tests"'),
                scope_of_the_token,
            ),
            (
                "unknown schemes first",
                "https://github.com/modelcontextprotocol/python-sdk/pull/3012",
                ("Negotiate", "NTLM TlRMTVNTUAAC==", 'Bearer realm="{url}/token"'),
                scope_of_the_token,
            ),
            ("the realm has a query", TOKENS, ('Bearer realm="{url}/token?tenant=1"',), scope_of_the_token),
            (
                "Nexus: BASIC in capitals",
                "https://github.com/devcontainers/cli/pull/884",
                ('BASIC realm="Sonatype Nexus Repository Manager"',),
                None,
            ),
            (
                "ECR: Basic with a service",
                "https://github.com/awslabs/amazon-ecr-credential-helper",
                ('Basic realm="{url}/",service="ecr.amazonaws.com"',),
                None,
            ),
        )
    ),
    *(
        Quirk(
            f"token: {name}",
            source,
            instead("token", Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())),
            challenges=(SCOPED,),
        )
        for name, source, answer in (
            (
                "access_token alone",
                "https://github.com/klausmeyer/docker-registry-browser/pull/256",
                {"access_token": TOKEN, "expires_in": 300},
            ),
            (
                "token alone",
                "https://github.com/containerd/containerd/issues/2157",
                {"token": TOKEN, "expires_in": 300},
            ),
            (
                "both, one of them empty",
                "https://github.com/containerd/containerd/issues/2157",
                {"token": "", "access_token": TOKEN},
            ),
            ("no expires_in", "https://github.com/distribution/distribution/pull/979", {"token": TOKEN}),
            (
                "expires_in is null",
                "https://github.com/distribution/distribution/pull/979",
                {"token": TOKEN, "expires_in": None},
            ),
            (
                "expires_in is 0",
                "https://github.com/distribution/distribution/pull/979",
                {"token": TOKEN, "expires_in": 0},
            ),
            (
                "expires_in is a text",
                "https://github.com/distribution/distribution/issues/1746",
                {"token": TOKEN, "expires_in": "300"},
            ),
            (
                "issued_at is a number",
                "https://github.com/moby/moby/pull/20970",
                {"token": TOKEN, "issued_at": 1457510670},
            ),
        )
    ),
    *(
        Quirk(name, source, grants_one(answer), act)
        for act, how in ((look_at_many, "many repositories"), (mount_and_put, "a mount"))
        for name, source, answer in (
            (
                f"GitLab: of several scopes the last is granted, {how}",
                "https://github.com/estesp/manifest-tool/issues/53",
                Reply(401, challenges=(SCOPED,)),
            ),
            (
                f"GCR: a token that does not do is refused without a challenge, {how}",
                "https://github.com/regclient/regclient/issues/149",
                refusal(401, "UNAUTHORIZED", "no"),
            ),
            (
                f"GCR: a token that does not do is refused by 403, {how}",
                "https://github.com/regclient/regclient/issues/149",
                refusal(403, "DENIED", "no"),
            ),
        )
    ),
    Quirk(
        "ACR: an identity token is posted as a refresh token",
        "https://github.com/google/go-containerregistry/issues/421",
        challenges=(SCOPED,),
        login={"identitytoken": "refresh-me"},
        after=refreshes,
    ),
    Quirk(
        "ACR: the user of zeros, by password",
        ACR,
        challenges=(SCOPED,),
        login={"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:refresh").decode()},
        after=lambda scene: {call.method for call in scene.registry.of("token")} == {"GET"},
    ),
    Quirk(
        "an identity token where the service knows no POST",
        "https://github.com/containerd/containerd/issues/12822",
        instead("token", Reply(404, {"Content-Type": "text/html"}, HTML)),
        challenges=(SCOPED,),
        login={"identitytoken": "refresh-me"},
        error="HOST/team/demo: not allowed to push (401; its tokens come from http://HOST/token); "
        "the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login HOST",
    ),
    Quirk(
        "GAR: it is the token service that says why",
        "https://github.com/GoogleContainerTools/skaffold/issues/6743",
        instead(
            "token",
            refusal(
                403,
                "DENIED",
                f'Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "r" {DENIED}',
            ),
        ),
        challenges=(SCOPED,),
        error="HOST/team/demo: not allowed to push (401; its tokens come from http://HOST/token, which says "
        f'403 DENIED: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "r" {DENIED}); '
        "the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login HOST",
    ),
    Quirk(
        "the token service answers 200 with a page",
        "https://github.com/cesanta/docker_auth/issues/174",
        instead("token", Reply(200, {"Content-Type": "text/html"}, HTML)),
        challenges=(SCOPED,),
        error="http://HOST/token: is not JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    Quirk(
        "the token service answers without a token",
        "https://github.com/distribution/distribution/issues/1659",
        instead("token", Reply(200, {}, b"{}")),
        challenges=(SCOPED,),
        error="http://HOST/token: has no 'access_token'",
    ),
    Quirk(
        "a 401 without a challenge",
        "https://github.com/sonatype/nexus-oss/pull/299",
        lambda call, usual: refusal(401, "UNAUTHORIZED", "no") if call.kind == "POST" else usual(),
        error="HOST/team/demo: not allowed to push (401 UNAUTHORIZED: no); the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login HOST",
    ),
    Quirk(
        "behind a proxy, the realm is plain HTTP at an inner name",
        "https://github.com/artifact-keeper/artifact-keeper/issues/1021",
        challenges=('Bearer realm="http://backend.example:8080/token"',),
        error="the registry wants tokens from http://backend.example:8080/token: no credential goes over plain HTTP\n"
        "  hint: if that is meant: INSECURE=backend.example:8080",
        tls=True,
    ),
    Quirk(
        "GHCR: known, and not allowed to write",
        "https://github.com/daltoniam/switchboard/pull/139",
        instead("POST", refusal(403, "DENIED", "permission_denied: write_package")),
        error="HOST/team/demo: not allowed to push (403 DENIED: permission_denied: write_package); the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push, or the repository (or its project) has to be made there first; log in anew with: docker login HOST",
    ),
    Quirk(
        "GAR: a repository that does not exist",
        "https://github.com/GoogleCloudPlatform/cymbal-superstore/pull/4",
        instead(
            "POST",
            refusal(
                403,
                "DENIED",
                f'Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "r" {DENIED}',
            ),
        ),
        error=f'HOST/team/demo: not allowed to push (403 DENIED: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "r" {DENIED}); '
        "the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push, or the repository (or its project) has to be made there first; log in anew with: docker login HOST",
    ),
)
REPEATED = json.dumps({"errors": [{"code": "X", "message": "y", "detail": f"{PASSWORD} {BASIC}"}]}).encode()
REFUSALS = (
    *(
        Quirk(
            f"a tag that must not move: {name}",
            source,
            instead("PUT manifest", refusal(status, code, message)),
            retag,
            error=f"HOST/team/demo: {verb}{status} {code}: {message}{who}\n"
            "  hint: a tag that is there cannot be moved in this repository: give another VERSION, or delete the tag there",
        )
        for name, source, status, code, message, verb, who in (
            (
                "ECR",
                "https://github.com/moby/buildkit/issues/3776",
                400,
                "TAG_INVALID",
                "The image tag 'v1' already exists in the 'team/demo' repository and cannot be overwritten because the repository is immutable.",
                "the registry refused to push: ",
                "",
            ),
            (
                "Harbor",
                "https://github.com/goharbor/harbor/pull/9427",
                412,
                "PRECONDITION",
                "Failed to process request due to 'demo:v1' configured as immutable.",
                "the registry refused to push: ",
                "",
            ),
            (
                "Docker Hub",
                "https://github.com/docker/hub-feedback/issues/2466",
                403,
                "DENIED",
                "the tag is immutable",
                "not allowed to push (",
                "); the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG",
            ),
        )
    ),
    Quirk(
        "ECR: a tag that must not move was written, and the answer lost",
        "https://github.com/aws/containers-roadmap/issues/2179",
        lambda call, usual: (
            usual()
            if call.kind != "PUT manifest"
            else (usual(), Reply(cut=True))[1]
            if call.number == 0
            else refusal(400, "TAG_INVALID", "The image tag 'v1' already exists and the repository is immutable.")
        ),
    ),
    Quirk(
        "Artifactory: the same, by 403",
        "https://github.com/replicatedhq/kots/pull/5940",
        lambda call, usual: (
            usual()
            if call.kind != "PUT manifest"
            else (usual(), Reply(cut=True))[1]
            if call.number == 0
            else Reply(403, {}, b'{"errors":[{"status":403,"message":"not enough permissions to overwrite"}]}')
        ),
    ),
    Quirk(
        "Quay: why a manifest is refused stands in the detail",
        "https://github.com/openshift/oc-mirror/issues/253",
        instead(
            "PUT manifest",
            refusal(400, "MANIFEST_INVALID", "manifest invalid", {"message": "failed to parse manifest:\n no 'enum'"}),
        ),
        push_index,
        error="HOST/team/demo: the registry refused to push: 400 MANIFEST_INVALID: manifest invalid (failed to parse manifest:  no 'enum')\n"
        "  hint: it may be too old for OCI images or indexes, or set up not to take them",
    ),
    Quirk(
        "an old registry takes no OCI index",
        "https://github.com/dotnet/sdk-container-builds/issues/621",
        instead("PUT manifest", Reply(415, {}, HTML)),
        push_index,
        error="HOST/team/demo: the registry refused to push: 415\n"
        "  hint: it may be too old for OCI images or indexes, or set up not to take them",
    ),
    Quirk(
        "Gitea: an index whose image is missing is answered by 404",
        "https://github.com/go-gitea/gitea/issues/37093",
        instead("PUT manifest", refusal(404, "MANIFEST_BLOB_UNKNOWN", "", {"digest": "x"})),
        push_index,
        error="HOST/team/demo: the registry refused to push: 404 MANIFEST_BLOB_UNKNOWN",
    ),
    Quirk(
        "a manifest is too large",
        "https://github.com/opencontainers/distribution-spec/pull/293",
        instead("PUT manifest", refusal(413, "SIZE_INVALID", "manifest too large")),
        push_index,
        error="HOST/team/demo: the registry refused to push: 413 SIZE_INVALID: manifest too large\n"
        "  hint: a proxy before it limits what it takes (nginx: client_max_body_size)",
    ),
    *(
        Quirk(
            f"an error body: {name}",
            source,
            instead("POST", Reply(400, {}, body)),
            error=f"HOST/team/demo: the registry refused to push: 400{said}",
            challenges=ASK_BASIC,
        )
        for name, source, body, said in (
            ("our own secrets", TOKENS, REPEATED, " X: y (*** Basic ***)"),
            ("a page", "https://github.com/docker/hub-feedback/issues/1907", HTML, ""),
            ("nothing", "https://github.com/docker/hub-feedback/issues/1907", b"", ""),
            ("plain text", "https://github.com/docker/hub-feedback/issues/1907", b"Too large\nreally\n", " Too large"),
            (
                "a list",
                "https://github.com/distribution/distribution/issues/3483",
                b'[{"code":"X","message":"y"}]',
                " X: y",
            ),
            ("a list of texts", "https://github.com/distribution/distribution/issues/3483", b'{"errors":["y"]}', " y"),
            ("no list", "https://github.com/distribution/distribution/issues/3483", b'{"errors":{"code":"X"}}', " X"),
            (
                "details",
                "https://github.com/containerd/containerd/pull/5288",
                b'{"details":"internal error","message":"ask"}',
                " ask",
            ),
            ("OAuth's", TOKENS, b'{"error":"invalid_scope","error_description":"no"}', " invalid_scope: no"),
            (
                "a status in place of a code",
                "https://github.com/replicatedhq/kots/pull/5940",
                b'{"errors":[{"status":400,"message":"no"}]}',
                " no",
            ),
            ("null", TOKENS, b'{"errors":[{"code":null,"message":null,"detail":null}]}', ""),
            ("control characters", TOKENS, b'{"errors":[{"message":"a\\u001b[31mb\\r\\nc"}]}', " a [31mb  c"),
        )
    ),
    Quirk(
        "Docker Hub: too many requests, said to a HEAD",
        "https://github.com/docker/hub-feedback/issues/2464",
        lambda call, usual: (
            usual()
            if "/manifests/" not in call.path
            else refusal(429, "TOOMANYREQUESTS", "You have reached your unauthenticated pull rate limit.").but(
                Retry_After="3600", RateLimit_Remaining="0;w=21600"
            )
        ),
        error="HOST/team/demo: the registry says there are too many requests (429) and to wait 3600 s\n"
        "  hint: wait, or log in: docker login HOST",
    ),
    Quirk(
        "Docker Hub: too many requests, in plain text",
        "https://github.com/docker/hub-feedback/issues/1907",
        instead(
            "POST", Reply(429, {"Retry-After": "3600", "Content-Type": "text/plain"}, b"Too Many Requests (HAP429).\n")
        ),
        error="HOST/team/demo: the registry says there are too many requests (429) and to wait 3600 s: Too Many Requests (HAP429).\n"
        "  hint: wait, or log in: docker login HOST",
    ),
    Quirk(
        "Retry-After is a date that is over",
        "https://github.com/GoogleContainerTools/jib/issues/3042",
        instead("POST", Reply(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), times=1),
    ),
    Quirk(
        "503 with a page",
        "https://github.com/containerd/containerd/pull/5288",
        instead("POST", Reply(503, {"Content-Type": "text/html"}, HTML)),
        error="HOST/team/demo: the registry failed: 503 (tried 3 times)",
    ),
)
QUIRKS = (*LOCATIONS, *UPLOADS, *MOUNTS, *READS, *LOGINS, *REFUSALS)
