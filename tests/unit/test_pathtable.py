from __future__ import annotations

import random

import pytest

from multiarch_oci.pathtable import PairList, PathTable, folder_order

PARTS = ["a", "b", "ab", "a b", "a!", "a\1", "ä", "\udcff", "\uffff", "𝄞", "z"]


def table(in_memory: int) -> PathTable[str]:
    return PathTable(lambda text: text.encode(), lambda stored: stored.decode(), in_memory)


def some_path(rng: random.Random) -> str:
    return "/".join(rng.choice(PARTS) for _ in range(rng.randint(1, 4)))


def names(model: dict[str, str], folder: str) -> list[str]:
    start = f"{folder}/" if folder else ""
    return sorted(path[len(start) :] for path in model if path.startswith(start) and "/" not in path[len(start) :])


def step(rng: random.Random, one: PathTable[str], model: dict[str, str]) -> None:
    path = some_path(rng)
    what = rng.random()
    if what < 0.8:
        one.put(path, str(what))
        model[path] = str(what)
    elif what < 0.9:
        one.pop(path)
        model.pop(path, None)
    else:
        folder = rng.choice([path, path, path, ""]) if what > 0.99 else path
        one.pop_below(folder)
        for gone in [each for each in model if not folder or each.startswith(f"{folder}/")]:
            del model[gone]


@pytest.mark.parametrize("in_memory", [0, 20, 10_000])
@pytest.mark.parametrize("seed", range(8))
def test_a_table_is_a_dict_whether_in_memory_or_in_a_file(in_memory: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # a seed that replays is the point
    one, model = table(in_memory), {}
    for _ in range(400):
        step(rng, one, model)
        path = some_path(rng)
        assert one.find(path) == model.get(path)
        assert (path in one) == (path in model)
    assert list(one.pairs()) == list(model.items())
    assert (list(one), len(one), dict(one)) == (list(model), len(model), model)
    assert list(one.by_path()) == sorted(model.items())
    assert list(one.by_folder()) == sorted(model.items(), key=lambda pair: folder_order(pair[0]))
    for folder in ["", *model, *(path.rpartition("/")[0] for path in model)]:
        assert one.names(folder) == names(model, folder)


@pytest.mark.parametrize("in_memory", [0, 10])
def test_what_is_not_there_is_a_key_error(in_memory: int) -> None:
    one = table(in_memory)
    one.put("a/b", "x")
    with pytest.raises(KeyError):
        one["a"]
    assert one["a/b"] == "x"


def test_pairs_keep_their_order_and_number() -> None:
    pairs = PairList()
    for count in (3, 1, 2, 1):
        pairs.append(str(count), "\udcff")
    assert list(pairs) == [("3", "\udcff"), ("1", "\udcff"), ("2", "\udcff"), ("1", "\udcff")]
