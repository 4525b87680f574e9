"""A job of a sweep's baseline, for what looks at it before there is a study."""

from orchestrator.backends.base import Slot
from orchestrator.folders import Folders
from sweeps.spec import Sweep
from trainers.protocol import TRAINERS, DataSource, Job


def baseline_job(sweep: Sweep, folders: Folders, slot: Slot, purpose: str) -> Job:
    """The baseline's job; its program finds the data's hash itself, and writes no trial folder."""
    folders.cache.mkdir(parents=True, exist_ok=True)
    return Job(
        study=sweep.name,
        trial_uid=purpose,
        number=0,
        attempt=1,
        folder=str(folders.cache / purpose),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=DataSource.model_validate(sweep.data),
        settings=TRAINERS[sweep.trainer].model_validate(sweep.baseline),
        seed=sweep.seed or 0,
        device=slot.device,
        threads=slot.threads,
    )
