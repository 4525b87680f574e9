"""How a cluster's GPUs and cores are shared out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.orchestrator.backends.ray.cluster import NodeResources, cluster_slots, gpu_share
from trytable.orchestrator.errors import UserError

PLENTY = 2**40


def node(cores: int, gpus: int = 0, memory_bytes: int = PLENTY) -> NodeResources:
    return NodeResources(cores, gpus, memory_bytes)


@pytest.mark.parametrize(
    ("wanted", "nodes", "slots", "threads", "share"),
    [
        (None, [node(8, 2), node(8, 2)], 4, 4, 1.0),
        (None, [node(8, 2), node(4)], 2, 4, 1.0),
        (3, [node(8, 1)], 3, 2, 0.3333),
        (4, [node(8, 1), node(64, 1)], 4, 4, 0.5),
        (2, [node(1, 4)], 2, 1, 1.0),
        (None, [node(0), node(2), node(2)], 4, 1, 0.0),
        (None, [node(16), node(16)], 8, 4, 0.0),
        (None, [node(16, memory_bytes=2**32)], 2, 8, 0.0),
        (3, [node(4), node(4)], 3, 2, 0.0),
        (2, [node(3), node(5)], 2, 3, 0.0),
    ],
)
def test_shares(
    wanted: int | None, nodes: list[NodeResources], slots: int, threads: int, share: float
) -> None:
    found = cluster_slots(wanted, nodes)
    assert [slot.name for slot in found] == [str(i + 1) for i in range(slots)]
    assert {slot.threads for slot in found} == {threads}
    assert {slot.device for slot in found} == {"gpu" if share else "cpu"}
    assert gpu_share(len(found), nodes) == share


def test_several_trials_a_gpu() -> None:
    nodes = [node(8, 2), node(4, 1)]
    found = cluster_slots(None, nodes, max_per_gpu=3)
    assert len(found) == 9
    assert gpu_share(len(found), nodes) == 0.3333
    assert len(cluster_slots(2, nodes, max_per_gpu=3)) == 2
    assert len(cluster_slots(None, [node(4, 2)], max_per_gpu=9)) == 4


@pytest.mark.parametrize(
    ("wanted", "nodes", "said"),
    [
        (0, [node(2)], "SLOTS=0"),
        (5, [node(2), node(2)], "Allowed: 1 to 4"),
        (None, [node(0)], "neither GPU nor CPU"),
        (None, [], "neither GPU nor CPU"),
    ],
)
def test_refused(wanted: int | None, nodes: list[NodeResources], said: str) -> None:
    with pytest.raises(UserError, match=said):
        cluster_slots(wanted, nodes)


@given(
    st.lists(st.tuples(st.integers(1, 64), st.integers(0, 8)), min_size=1, max_size=5),
    st.integers(1, 40),
)
def test_all_slots_have_room_at_once(sizes: list[tuple[int, int]], wanted: int) -> None:
    nodes = [node(cores, gpus) for cores, gpus in sizes]
    try:
        found = cluster_slots(wanted, nodes)
    except UserError:
        assert wanted > sum(cores for cores, _ in sizes)
        return
    threads = found[0].threads
    assert len(found) == wanted
    share = gpu_share(len(found), nodes)
    if share:
        each = int(1 / share)
        assert each * sum(gpus for _, gpus in sizes) >= wanted
        assert threads == 1 or all(g * each * threads <= c for c, g in sizes if g)
    else:
        assert sum(cores // threads for cores, _ in sizes) >= wanted
