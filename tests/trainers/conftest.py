"""Models made once a run, and a folder whose name shells and formats dislike."""

from pathlib import Path

import pytest
import torch

from tests.trainers.small import save_model
from trytable.trainers.models.backbone import LoadedModel, load_model


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Models so small are slower on many threads, and much slower where cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "small bert")


@pytest.fixture(scope="session")
def bert(bert_folder: Path) -> LoadedModel:
    return load_model(str(bert_folder))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s {an} "odd"\nname %d #1?'
    folder.mkdir()
    return folder
