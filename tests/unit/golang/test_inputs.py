from __future__ import annotations

from multiarch_oci.golang.inputs import Inputs, Part


def test_names_count_and_the_order_of_parts_does_not():
    one, two = Part.of("a", {"a.go": "1"}), Part.of("b", {"b.go": "2"})
    assert Inputs.of((one, two), {}) == Inputs.of((two, one), {})
    assert Inputs.of((Part.of("a", {"z.go": "1"}), two), {}) != Inputs.of((one, two), {})
    assert Inputs.of((Part.of("c", {"a.go": "1"}), two), {}) != Inputs.of((one, two), {})
