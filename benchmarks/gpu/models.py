"""Makes models and texts on the spot: configs, seeded random weights, words of this file.

No download is needed, and a model has its family's full size on a GPU. If the folder
`build/gpu/minilm-bf16` exists (see `benchmarks.gpu.pack`), MiniLM has its pretrained weights.
"""

import math
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.space import TOP, Sizes

TOPICS: Mapping[str, str] = {
    "sport": "match goal team coach league player stadium race medal referee score cup runner club",
    "food": "bread soup kitchen chef salt dinner recipe oven spice cheese menu baker apple plate",
    "weather": "rain storm cloud wind snow frost thunder sunshine fog hail sky breeze heat",
    "music": "song guitar concert piano singer drum melody chorus band violin rhythm opera jazz",
}
FILLER = (
    "the a of and in on with from for about this that it was is had will could never often today "
    "yesterday people city old new small large very quite some every first last long short good "
    "house street river morning evening year week story small town friend work road country"
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
NOISE = 0.1
"""Share of sentences with a random label, so that no model reaches 100 %."""

_PRETRAINED_MINILM = TOP / "build" / "gpu" / "minilm-bf16"
_TOPIC_SHARE = 0.5
_MEDIAN = math.log(0.65)
"""Half of the sentences are longer than 65 % of the longest; every fifth is cut to that."""

_SEED = 20


def write_texts(folder: Path, sizes: Sizes) -> Path:
    """Write train.txt, dev.txt and test.txt: a topic and a sentence a line."""
    generator = random.Random(_SEED)  # noqa: S311 - sentences, not secrets
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", sizes.train), ("dev", sizes.dev), ("test", sizes.dev)):
        rows = [_row(generator, sizes.tokens - len(SPECIAL)) for _ in range(count)]
        (folder / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows))
    return folder


def _row(generator: random.Random, longest: int) -> str:
    topic = generator.choice(list(TOPICS))
    length = min(longest, max(4, round(longest * generator.lognormvariate(_MEDIAN, 0.5))))
    topical, filler = TOPICS[topic].split(), FILLER.split()
    words = [
        generator.choice(topical if generator.random() < _TOPIC_SHARE else filler)
        for _ in range(length)
    ]
    label = generator.choice(list(TOPICS)) if generator.random() < NOISE else topic
    return f"{label} ||| {' '.join(words)}"


def write_model(folder: Path, family: str, sizes: Sizes) -> Path:
    """Write config, seeded random weights and tokenizer of a family: bert, minilm or llama."""
    if family == "minilm" and not sizes.is_small and _PRETRAINED_MINILM.is_dir():
        return Path(shutil.copytree(_PRETRAINED_MINILM, folder, dirs_exist_ok=True))
    # Here, not at the top: the runner starts without torch.
    import torch  # noqa: PLC0415 - see above
    import transformers  # noqa: PLC0415 - see above

    torch.manual_seed(_SEED)
    kind, values = _config(family, sizes)
    config = getattr(transformers, kind)(pad_token_id=0, **values)
    model = transformers.AutoModel.from_config(config)  # type: ignore[no-untyped-call] # untyped there
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _config(family: str, sizes: Sizes) -> tuple[str, dict[str, Any]]:
    """Return the class of a family's config, and what differs from its defaults."""
    small: dict[str, Any] = {
        "vocab_size": len(_vocabulary()),
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    if family == "bert":  # BERT-base is BertConfig's default
        return "BertConfig", small if sizes.is_small else {}
    if family == "minilm":
        six = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
        return "BertConfig", small if sizes.is_small else six
    large = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
    large |= {"num_key_value_heads": 4, "intermediate_size": 1376, "vocab_size": 8192}
    ends = {"bos_token_id": 2, "eos_token_id": 3}
    return "LlamaConfig", {**(small if sizes.is_small else large), **ends}


def _vocabulary() -> dict[str, int]:
    words = [word for text in (*TOPICS.values(), FILLER) for word in text.split()]
    return {word: index for index, word in enumerate(dict.fromkeys((*SPECIAL, *words)))}


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: PLC0415 - see above
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - see above

    words = _vocabulary()
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, words[name]) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # untyped there
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106 - no password
        unk_token="[UNK]",  # noqa: S106 - no password
        cls_token="[CLS]",  # noqa: S106 - no password
        sep_token="[SEP]",  # noqa: S106 - no password
    )
