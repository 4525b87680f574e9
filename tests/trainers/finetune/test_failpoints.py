"""Workers killed at every boundary where something is written train on to the same last bit."""

from pathlib import Path

from tests.failpoints import walk_all


def test_a_worker_killed_at_any_write_comes_to_the_same_end(odd: Path) -> None:
    walked = walk_all("tests.trainers.walking", odd)
    assert walked[-1].number > 70
    assert {step.where.split()[1] for step in walked} > {"send", "sent", "os.remove"}
