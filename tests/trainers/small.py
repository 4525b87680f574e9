"""Small real things to train on: random models made from configs, and a few sentences."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3Config,
    RobertaConfig,
)

from trytable.records import DataSource
from trytable.trainers.data import tokens
from trytable.trainers.data.splits import Split, TextData
from trytable.trainers.protocol.messages import Event, FinetuneSettings, Job, StopReason

WORDS = ["good", "bad", "film", "plot", "very", "not", "a", "the", "dull", "fine", "warm", "cold"]
VOCABULARY = ["[PAD]", "[UNK]", *WORDS]
LETTERS = ["[PAD]", "[UNK]", "<|endoftext|>", *"Ġabcdefghijklmnopqrstuvwxyz"]
_SIZES: dict[str, Any] = {"vocab_size": len(VOCABULARY), "pad_token_id": 0}
_WIDE: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}

CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(num_hidden_layers=3, **_WIDE, **_SIZES),
    "roberta": RobertaConfig(num_hidden_layers=3, **_WIDE, **_SIZES),
    "distilbert": DistilBertConfig(dim=16, n_heads=2, hidden_dim=32, n_layers=3, **_SIZES),
    # As DeBERTa v3 is: no absolute positions, no types, relative ones with a norm of their own.
    "deberta": DebertaV2Config(  # type: ignore[call-arg] # it takes any
        num_hidden_layers=3,
        relative_attention=True,
        position_buckets=4,
        max_position_embeddings=32,
        position_biased_input=False,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        type_vocab_size=0,
        **_WIDE,
        **_SIZES,
    ),
    "modernbert": ModernBertConfig(
        num_hidden_layers=3,
        cls_token_id=1,
        sep_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        **_WIDE,
        **_SIZES,
    ),
    "llama": LlamaConfig(num_hidden_layers=3, bos_token_id=1, eos_token_id=1, **_WIDE, **_SIZES),
    "qwen2": Qwen2Config(
        num_hidden_layers=3,
        num_key_value_heads=1,
        bos_token_id=1,
        eos_token_id=1,
        vocab_size=len(LETTERS),
        pad_token_id=0,
        **_WIDE,
    ),
    "qwen3": Qwen3Config(num_hidden_layers=3, num_key_value_heads=1, head_dim=8, **_WIDE, **_SIZES),
    "opt": OPTConfig(
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=32,
        num_attention_heads=2,
        num_hidden_layers=3,
        bos_token_id=1,
        eos_token_id=1,
        **_SIZES,
    ),
    "gpt2": GPT2Config(n_embd=16, n_head=2, n_layer=3, bos_token_id=1, eos_token_id=1, **_SIZES),
}


def save_model(folder: Path, kind: str = "bert", **changes: object) -> Path:
    """A model folder with config, random weights and a tokenizer that splits at spaces."""
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIGS[kind])
    config.update(changes)
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call] # untyped there
    _tokenizer(kind).save_pretrained(folder)
    return folder


def _tokenizer(kind: str) -> PreTrainedTokenizerFast:
    if kind == "qwen2":  # transformers reads its folders with its own tokenizer, by bytes
        letters = {letter: index for index, letter in enumerate(LETTERS)}
        return Qwen2Tokenizer(vocab=letters, merges=[], pad_token="[PAD]", unk_token="[UNK]")  # noqa: S106 - no password
    words = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # untyped there
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106 - no password
        unk_token="[UNK]",  # noqa: S106 - no password
    )


def sentences(count: int, seed: int) -> Split:
    """Sentences that are class 1 where `good` stands in them, else 0; of 2 to 9 words."""
    generator = torch.Generator().manual_seed(seed)
    texts, labels = [], []
    for _ in range(count):
        length = int(torch.randint(1, 9, (1,), generator=generator))
        picked = torch.randint(1, len(WORDS), (length,), generator=generator).tolist()
        label = int(torch.randint(0, 2, (1,), generator=generator))
        texts.append(" ".join(["good" if label else "cold", *(WORDS[i] for i in picked)]))
        labels.append(label)
    return Split(tuple(texts), tuple(labels))


DATA = TextData(
    ("no", "yes"),
    {"train": sentences(70, 1), "dev": sentences(40, 2), "test": sentences(30, 3)},
)


def save_data(folder: Path, data: TextData = DATA) -> Path:
    """The same as a folder of text files, a label and a sentence a line."""
    folder.mkdir()
    for name, split in data.splits.items():
        rows = zip(split.labels, split.texts, strict=True)
        (folder / f"{name}.txt").write_text(lines(*(f"{label} ||| {text}" for label, text in rows)))
    return folder


class Recorder:
    """A line that remembers what was said, and asks for a stop after so many looks."""

    def __init__(self, stop_after: int | None = None, reason: StopReason = "drain") -> None:
        self.events: list[Event] = []
        self._looks_left = stop_after
        self._reason = reason

    def send(self, event: Event) -> None:
        self.events.append(event)

    def stop_reason(self) -> StopReason | None:
        if self._looks_left is None:
            return None
        self._looks_left -= 1
        return self._reason if self._looks_left < 0 else None

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def job_for(
    folder: Path, model: Path | str, data: TextData = DATA, **knobs: object
) -> tuple[Job, FinetuneSettings]:
    """A job over data that lie prepared in the cache."""
    tokens.cache_data(folder / "cache", data)
    settings = FinetuneSettings.model_validate(
        {"epochs": 2, "batch_size": 8, "lr": 1e-3, "precision": "fp32", "log_every_steps": 1}
        | knobs
    )
    trial = folder / "trial"
    trial.mkdir(parents=True, exist_ok=True)
    return (
        Job(
            study="small",
            trial_uid="u",
            number=0,
            attempt=1,
            folder=str(trial),
            cache_folder=str(folder / "cache"),
            model=str(model),
            data=DataSource(name="small"),
            data_hash=data.hash,
            settings=settings,
            seed=7,
        ),
        settings,
    )


def same_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two states are the same to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def lines(*rows: str) -> str:
    """Rows as a file's text."""
    return "".join(f"{row}\n" for row in rows)


def label_rows(labels: Iterable[int]) -> str:
    """An SST-style file with these labels."""
    return lines(*(f"{label} ||| sentence number {i}" for i, label in enumerate(labels)))
