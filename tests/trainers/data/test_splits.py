"""Texts that splits share are counted; a dev set is split off train by hash."""

from pathlib import Path

import pytest

from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData


def write(folder: Path, split: str, rows: list[tuple[int, str]]) -> None:
    (folder / f"{split}.txt").write_text("".join(f"{label} ||| {text}\n" for label, text in rows))


def numbered(first: int, last: int) -> list[tuple[int, str]]:
    return [(number % 2, f"text {number}") for number in range(first, last)]


def read(folder: Path, **options: object) -> TextData:
    return read_data(DataSource(name=str(folder), **options))  # type: ignore[arg-type] # as in YAML


def test_texts_in_two_splits_are_counted_with_their_labels(odd: Path) -> None:
    write(odd, "train", numbered(0, 300))
    write(odd, "dev", [(0, "text 10"), (0, "text 11"), (1, "text 13"), *numbered(300, 397)])
    write(odd, "test", [*numbered(396, 400), (0, "text 10")])
    data = read(odd)
    leaks = {(leak.split, leak.other): leak for leak in data.leaks}
    assert leaks.keys() == {("dev", "train"), ("test", "train"), ("test", "dev")}
    leak = leaks["dev", "train"]
    assert (leak.size, leak.shared, leak.other_label, leak.share) == (100, 3, 1, 0.03)
    note = (
        "3 of 100 dev texts (3.0%) are also in train, 1 of them with another label, such as "
        "dev.txt:1 and train.txt:11."
    )
    assert note in data.notes


def test_an_unlabelled_test_set_may_leak_but_has_no_other_label(odd: Path) -> None:
    write(odd, "train", numbered(0, 4))
    write(odd, "dev", numbered(4, 8))
    write(odd, "test", [(-1, "text 1"), (-1, "new")])
    (leak,) = read(odd).leaks
    assert (leak.split, leak.shared, leak.other_label) == ("test", 1, 0)


def test_a_pair_leaks_as_a_whole(odd: Path) -> None:
    (odd / "train.csv").write_text("text,claim,label\na,b,0\nc,d,1\n")
    (odd / "dev.csv").write_text("text,claim,label\na,x,0\nc,d,1\n")
    (leak,) = read(odd, text_pair="claim").leaks
    assert leak.shared == 1


def test_a_dev_set_is_split_off_by_hash(odd: Path) -> None:
    rows = numbered(0, 400)
    write(odd, "train", rows)
    data = read(odd, dev=0.1)
    train, dev = data.splits["train"], data.splits["dev"]
    assert (len(train.texts), len(dev.texts)) == (360, 40)
    assert (dev.labels.count(0), dev.labels.count(1)) == (20, 20)
    assert sorted([*train.texts, *dev.texts]) == sorted(text for _, text in rows)
    assert data.leaks == ()
    assert any(note.startswith("dev is 40 of 400 train texts") for note in data.notes)
    write(odd, "train", rows[::-1])
    again = read(odd, dev=0.1)
    assert set(again.splits["dev"].texts) == set(dev.texts)


def test_equal_texts_stay_on_one_side(odd: Path) -> None:
    write(
        odd, "train", [*numbered(0, 60), *numbered(0, 60), *((1, f"text {n}") for n in range(60))]
    )
    data = read(odd, dev=0.3)
    assert data.leaks == ()
    assert len(data.splits["train"].texts) + len(data.splits["dev"].texts) == 180


def test_the_split_is_part_of_the_data_hash(odd: Path) -> None:
    write(odd, "train", numbered(0, 100))
    assert read(odd, dev=0.1).hash == read(odd, dev=0.1).hash != read(odd, dev=0.2).hash


@pytest.mark.parametrize(
    ("share", "message"),
    [(0.0, "Use a share between 0 and 1"), (1.5, "Use a share"), (0.01, "leaves no text for dev")],
)
def test_a_share_that_makes_no_split_is_refused(odd: Path, share: float, message: str) -> None:
    write(odd, "train", numbered(0, 20))
    with pytest.raises(Refused, match=message):
        read(odd, dev=share)


def test_a_share_beside_a_dev_file_is_refused(odd: Path) -> None:
    write(odd, "train", numbered(0, 20))
    write(odd, "dev", numbered(20, 24))
    with pytest.raises(Refused, match=r"there is dev\.txt\. Set data\.dev=dev\.txt"):
        read(odd, dev=0.1)
    assert len(read(odd, dev="dev.txt").splits["dev"].texts) == 4


def test_a_missing_dev_file_says_how_to_split_one_off(odd: Path) -> None:
    write(odd, "train", numbered(0, 20))
    with pytest.raises(Refused, match=r"no dev file; .* data\.dev=0\.1 splits a tenth off train"):
        read(odd)


def test_a_small_dev_set_is_noted(odd: Path) -> None:
    write(odd, "train", numbered(0, 50))
    write(odd, "dev", numbered(50, 70))
    assert "dev has only 20 texts: each is 5.0% of the accuracy." in read(odd).notes
