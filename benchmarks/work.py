"""Jobs over prepared data to measure with, and a line for their events."""

from pathlib import Path

from trytable.records import DataSource
from trytable.trainers.entrypoints.prepare import prepare
from trytable.trainers.protocol.messages import Event, FinetuneSettings, Job, StopReason


class Silent:
    """A line that discards every event."""

    def send(self, event: Event) -> None:
        pass

    def stop_reason(self) -> StopReason | None:
        return None


def prepared_job(folder: Path, data: str, **knobs: object) -> Job:
    """A job for `minilm` in fp32 on one thread, over data prepared in the folder's cache."""
    settings = FinetuneSettings.model_validate({"precision": "fp32", **knobs})
    source = DataSource(name=data)
    prepared = prepare("minilm", source, settings.max_length, folder / "cache")
    return Job(
        study="benchmark",
        trial_uid="benchmark",
        number=0,
        attempt=1,
        folder=str(folder / "trial"),
        cache_folder=str(folder / "cache"),
        model="minilm",
        data=source,
        data_hash=prepared.data_hash,
        settings=settings,
        seed=1,
    )
