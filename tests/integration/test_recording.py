"""Requests as they are recorded for progress lines, traces and reports: against a real registry, over a bad connection.

OCI distribution spec 1.1, "Pushing blobs"; RFC 9110 §9.3.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.registry import Registry as Machine
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, LAYER_GZIP
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.errors import RegistryFailed
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.recording import RequestRecord
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry

SIZE = 3 << 20
CONTENT = random.Random(7).randbytes(SIZE)  # noqa: S311  # the same content in every run
LAYER = Descriptor.of(LAYER_GZIP, CONTENT)


class Noted:
    """A Watch that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.pauses: list[tuple[float, str]] = []

    def request(self, record: RequestRecord) -> None:
        assert record.ended is None
        assert record.status is None
        self.records.append(record)

    def pause(self, seconds: float, error: str) -> None:
        self.pauses.append((seconds, error))


def opened(host: str, watch: Noted) -> Registry:
    transport = Transport(Settings(backoff=0.01, longest_pause=0.1, chunk=1 << 20), Credentials({}, Path("/nowhere")))
    return Registry(transport.watched(watch), Reference(host, "team/demo"))


def test_every_request_of_an_upload_is_recorded_with_its_bytes_and_its_end(registry: Machine):
    watch = Noted()
    opened(registry.host, watch).put(LAYER, lambda: io.BytesIO(CONTENT))
    assert [record.method for record in watch.records] == ["POST", "PATCH", "PATCH", "PATCH", "PUT"]
    assert sum(record.sent for record in watch.records) == SIZE
    assert [record.status for record in watch.records] == [202, 202, 202, 202, 201]
    for record in watch.records:
        assert record.host == registry.host
        assert "?" not in record.path  # registries keep the state of an upload there
        assert record.sent == record.length
        assert record.ended is not None
        assert record.began <= record.moved <= record.ended


def test_a_body_that_is_read_bit_by_bit_is_counted_until_it_is_closed(registry: Machine):
    opened(registry.host, Noted()).put(LAYER, lambda: io.BytesIO(CONTENT))
    watch = Noted()
    with opened(registry.host, watch).open(LAYER) as stream:
        stream.read(1 << 20)
        record = watch.records[-1]
        assert record.method == "GET"
        assert 1 << 20 <= record.received < SIZE
        assert record.ended is None
        stream.read()
    assert record.received == SIZE
    assert record.ended is not None


def test_a_pause_between_two_tries_is_reported_with_its_reason(registry: Machine):
    with FaultProxy(registry.host) as proxy:
        proxy.order("HEAD manifest", status=503, times=9)
        proxy.order("GET manifest", status=503, times=9)
        watch = Noted()
        with pytest.raises(RegistryFailed):
            opened(proxy.host, watch).resolve("v1")
    assert {record.status for record in watch.records} == {503}
    assert len(watch.pauses) == 4
    assert all("503" in error and "\n" not in error for _, error in watch.pauses)


def test_an_answer_that_is_cut_is_recorded_with_its_status_and_with_what_cut_it(registry: Machine):
    config = Descriptor.of(CONFIG, b"{}")
    manifest = Manifest(config, ())
    store = opened(registry.host, Noted())
    store.put(config, lambda: io.BytesIO(b"{}"))
    store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
    watch = Noted()
    with FaultProxy(registry.host) as proxy:
        proxy.order("GET manifest", cut_answer=20)
        assert opened(proxy.host, watch).open(manifest.descriptor()).read() == manifest.to_json()
    assert [(record.status, record.error, record.received) for record in watch.records] == [
        (200, "Interrupted", 20),
        (200, None, manifest.descriptor().size),
    ]
    assert all(record.ended is not None for record in watch.records)


def test_a_body_that_is_cut_while_it_is_read_is_recorded_with_what_cut_it(registry: Machine):
    opened(registry.host, Noted()).put(LAYER, lambda: io.BytesIO(CONTENT))
    watch = Noted()
    with FaultProxy(registry.host) as proxy:
        proxy.order("GET blob", cut_answer=1 << 20)
        with opened(proxy.host, watch).open(LAYER) as stream:
            assert stream.read() == CONTENT
    assert [(record.status, record.error) for record in watch.records] == [(200, "Interrupted"), (206, None)]
    assert sum(record.received for record in watch.records) == SIZE
