"""The columns of the Try table after its parameters, each declared once.

A column's value is that of the same name in the frame `tries` (`results/frames/try_columns`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trytable.records import Language
from trytable.results.text.format import CellKind


@dataclass(frozen=True)
class TryColumn:
    """How the Try table shows a column.

    Attributes:
        key: the column's name in the frame and in files.
        kind: what it holds, which decides how its numbers are rounded and aligned.
        english, chinese: its title; `{objective}` is the metric that the sweep optimizes, and
            `{against}` the name of the baseline.
        is_optional: whether a table has it only if some row has a value there.
        priority: a narrow terminal drops the column with the lowest priority first; None keeps it.
        hides_blank: whether the terminal drops it if no row has a value.
    """

    key: str
    kind: CellKind
    english: str
    chinese: str
    is_optional: bool = False
    priority: int | None = None
    hides_blank: bool = False

    def title(self, language: Language, fields: Mapping[str, str]) -> str:
        """The title in one language."""
        titles: Mapping[Language, str] = {"en": self.english, "zh": self.chinese}
        return titles[language].format(**fields)


TRY_COLUMNS = (
    TryColumn("epochs_run", "count", "epochs run", "训练轮数", priority=70),
    TryColumn("best_value", "accuracy", "best {objective}", "最佳{objective}"),
    TryColumn("best_dev_accuracy", "accuracy", "best dev acc", "验证准确率峰值"),
    TryColumn("interval_low", "accuracy", "95% low", "95% 下限", priority=130),
    TryColumn("interval_high", "accuracy", "95% high", "95% 上限", priority=140),
    TryColumn("confirmed_mean", "accuracy", "confirmed mean", "复验均值", is_optional=True),
    TryColumn(
        "confirmed_low", "accuracy", "confirmed low", "复验下限", is_optional=True, priority=110
    ),
    TryColumn(
        "confirmed_high", "accuracy", "confirmed high", "复验上限", is_optional=True, priority=120
    ),
    TryColumn("confirmed_seeds", "count", "seeds", "种子数", is_optional=True, priority=50),
    TryColumn("best_epoch", "count", "at epoch", "峰值轮次", priority=100),
    TryColumn("last_dev_accuracy", "accuracy", "last dev acc", "末轮验证准确率", priority=20),
    TryColumn("train_accuracy", "accuracy", "train acc", "训练准确率", priority=160),
    TryColumn("test_accuracy", "accuracy", "test acc", "测试准确率", priority=60),
    TryColumn("gap", "difference", "gap", "训练与验证之差", priority=150),
    TryColumn("delta", "difference", "vs {against}", "与 {against} 之差"),
    TryColumn("p_best", "p", "p vs best", "与最佳比较的 p", priority=170),
    TryColumn("group", "count", "group", "组别", priority=180),
    TryColumn("stars", "stars", "stars", "推荐度"),
    TryColumn(
        "equal_best",
        "difference",
        "vs best at its epoch",
        "同轮次与最佳之差",
        is_optional=True,
        priority=30,
    ),
    TryColumn(
        "equal_baseline",
        "difference",
        "vs {against} at its epoch",
        "同轮次与 {against} 之差",
        is_optional=True,
        priority=40,
    ),
    TryColumn("trained", "share", "trained", "可训练比例", priority=90, hides_blank=True),
    TryColumn("seconds", "seconds", "seconds", "耗时（秒）", priority=80),
    TryColumn("device_seconds", "seconds", "device seconds", "设备耗时（秒）", priority=10),
    TryColumn("findings", "findings", "findings", "诊断", hides_blank=True),
    TryColumn("state", "state", "state", "状态"),
)
"""The columns in order."""
