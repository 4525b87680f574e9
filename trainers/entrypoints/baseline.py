"""What `diagnose` and `lr_range` share: training a sweep's baseline outside any trial."""

from pathlib import Path

import torch

from trytable.trainers.entrypoints.prepare import prepare
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.protocol.messages import (
    Event,
    FinetuneSettings,
    Job,
    PreparedData,
    StopReason,
)


class DiscardedEvents:
    """A Line that drops all events: what is trained here is no attempt of a trial."""

    def send(self, event: Event) -> None:
        """Drop the event."""

    def stop_reason(self) -> StopReason | None:
        """Return None: nothing asks for a stop."""
        return None


def load_baseline(job: Job, settings: FinetuneSettings) -> tuple[Job, PreparedData, LoadedModel]:
    """Prepare a job's data and load its model; the job comes back with the data's hash.

    Raises Refused if data or model cannot be used.
    """
    torch.set_num_threads(job.threads)
    prepared = prepare(job.model, job.data, settings.max_length, Path(job.cache_folder))
    return job.model_copy(update={"data_hash": prepared.data_hash}), prepared, load_model(job.model)
