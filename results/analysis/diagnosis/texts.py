"""The findings' texts, apart from their logic: what was seen, and why it matters.

Both languages are filled from the same evidence. A text stands under `kind.variant` or `kind`.
"""

from dataclasses import dataclass

from trytable.records import Language
from trytable.results.analysis.diagnosis.types import AdviceDirection


@dataclass(frozen=True)
class Wording:
    """`seen` holds fields of the evidence."""

    message: str
    explanation: str


_GUESSING = (
    "Such a loss is that of guessing, so nothing has been learnt: the rate is too low, too much is "
    "frozen, or the gradients do not arrive."
)
_GUESSING_ZH = "这就是随机猜测的损失，说明什么都没学到：学习率太低、冻结过多，或梯度没有传到。"
_SCHEDULE = "The rate that was asked for is not the one that trained, so tries cannot be compared."
_SCHEDULE_ZH = "真正训练用的学习率不是设定的那个，各次尝试无法比较。"
_OVERFIT = "The model learns the train sentences by heart; more of it does not help on others."
_OVERFIT_ZH = "模型在记忆训练集，继续训练对新句子没有帮助。"
_COLLAPSED = "A model that always says the same has not learnt to tell classes apart."
_COLLAPSED_ZH = "总是给出同一个答案的模型没有学会区分类别。"
_STILL = "Epochs that move nothing cost time; the weights are stuck or the model can do no more."
_STILL_ZH = "这些轮次毫无进展，只是浪费时间；权重卡住了，或模型容量已到极限。"
_IMPROVING = "More epochs would likely have reached more, so it is compared below its worth."
_IMPROVING_ZH = "再多训练几轮很可能更好，目前的比较低估了它。"
_SEED = "Equal first losses come from equal seeds, not from a parameter that is ignored."
_SEED_ZH = "开头损失相同是因为随机种子相同，并不表示参数没有生效。"

_OVERFIT_SEEN = (
    "{level} overfitting: train minus dev accuracy is {gap_at_last:.3f} at the last "
    "epoch{at_best}; dev accuracy peaked at epoch {peak_epoch} with {peak_accuracy:.3f}, "
    "{epochs_after_peak} epochs before the end"
)
_OVERFIT_SEEN_ZH = (
    "{level}过拟合：末轮训练与验证准确率之差为 {gap_at_last:.3f}{at_best}；"
    "验证准确率在第 {peak_epoch} 轮达到峰值 {peak_accuracy:.3f}，"
    "此后又训练了 {epochs_after_peak} 轮"
)

ENGLISH: dict[str, Wording] = {
    "no_learning.steps": Wording(
        "over steps {first_step} to {last_step} the loss stood at {loss:.3f}, within "
        "{tolerance:.0%} of ln {classes} = {guessing_loss:.3f}, with accuracy {accuracy:.3f} "
        "at chance ({chance:.3f})",
        _GUESSING,
    ),
    "no_learning.steps_alone": Wording(
        "over steps {first_step} to {last_step} the loss stood at {loss:.3f}, within "
        "{tolerance:.0%} of ln {classes} = {guessing_loss:.3f}",
        _GUESSING,
    ),
    "no_learning.epochs": Wording(
        "the train loss is {loss:.3f} after epoch {last_epoch}, within {tolerance:.0%} of "
        "ln {classes} = {guessing_loss:.3f}, with accuracy {accuracy:.3f} at chance ({chance:.3f})",
        _GUESSING,
    ),
    "majority_class.kept": Wording(
        "the kept epoch {epoch} gives {share:.0%} of its predictions to class {class}",
        _COLLAPSED,
    ),
    "majority_class.last": Wording(
        "the last epoch, {epoch}, gives {share:.0%} of its predictions to class {class}",
        _COLLAPSED,
    ),
    "majority_class.early": Wording(
        "{count} early epochs ({epochs}) gave all predictions to one class",
        "A slow start is common; where it lasts, warm-up or balanced weights shorten it.",
    ),
    "stagnation": Wording(
        "the train loss moved {movement:.3%} over epochs {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g}) at a rate of up to {lr:.2g}",
        _STILL,
    ),
    "stagnation.unknown_rate": Wording(
        "the train loss moved {movement:.3%} over epochs {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g})",
        _STILL,
    ),
    "frozen_validation": Wording(
        "{metric} stood at {value:.6g} over epochs {first_epoch} to {last_epoch} (movement "
        "{movement:.5%}) while {moved} changed by {moved_by:.4%}",
        "Changing weights change predictions, so dev is not really evaluated: the same outputs, "
        "masks or a copy of the model are used again.",
    ),
    "divergence.rose": Wording(
        "the loss rose from {first_loss:.3f} to {last_loss:.3f} ({ratio:.2f} times) by {unit} "
        "{last_at}",
        "Steps that are too large lead away from any solution; more of them will not come back.",
    ),
    "divergence.fell_back": Wording(
        "the loss fell to {lowest_loss:.3f} by {unit} {lowest_at} and is back at {last_loss:.3f} "
        "by {unit} {last_at}",
        "What had been learnt was lost again in steps that were too large.",
    ),
    "non_finite": Wording(
        "the {what} is not finite at step {step}",
        "From NaN or infinity there is no way back: every weight it touches is lost.",
    ),
    "exploding_weights": Wording(
        "the weight norm of {block} grew from {start:.4g} to {largest:.4g} ({ratio:.1f} times) by "
        "step {step}",
        "Pretrained weights that grow so far have forgotten what they knew.",
    ),
    "dead_gradients": Wording(
        "{dead} of {trained} trained blocks get no gradient ({blocks}) in {steps_measured} steps "
        "that measured it",
        "They count as trained and never learn: the path from the loss to them is cut.",
    ),
    "frozen_too_much": Wording(
        "{trainable} of {parameters} parameters are trained ({share:.3%}; freeze: {freeze})",
        "So few parameters can hardly turn general features into those of the task.",
    ),
    "label_range": Wording(
        "{split} labels run from {lowest} to {highest}, allowed are 0 to {last_class}",
        "A label that is no class makes the loss meaningless, or ends the training.",
    ),
    "overfit": Wording(_OVERFIT_SEEN, _OVERFIT),
    "underfit": Wording(
        "train accuracy is {train_accuracy:.3f} after epoch {epochs}, {way:.0%} of the way from "
        "chance ({chance:.3f}) to 1",
        "It does not even fit what it trains on, so regularisation or too few steps hold it back.",
    ),
    "still_improving": Wording(
        "epoch {epoch}, the last, is the best with {value:.3f}: {gain:.3f} better than before the "
        "last {epochs} epochs",
        _IMPROVING,
    ),
    "still_improving.stopped": Wording(
        "it was stopped after epoch {epoch} while it was at its best with {value:.3f}: {gain:.3f} "
        "better than before the last {epochs} epochs",
        _IMPROVING,
    ),
    "schedule.peak": Wording(
        "the learning rate reached {highest:.3g}, {ratio:.3g} times the {asked:.3g} asked for",
        _SCHEDULE,
    ),
    "schedule.swinging": Wording(
        "the learning rate ({asked}) swings between {lowest:.3g} and {highest:.3g} with a period "
        "of {period_steps:g} steps, {turns} times",
        "A schedule whose length is in epochs was stepped after every batch. " + _SCHEDULE,
    ),
    "schedule.swinging_by_epochs": Wording(
        "the learning rate ({asked}) swings between {lowest:.3g} and {highest:.3g} with a period "
        "of {period_steps:g} steps, {turns} times: down in {epochs} steps, as many as there are "
        "epochs; all of them together have {steps_meant} steps",
        "Its length was given in epochs and it is stepped after every batch. Probably a step after "
        "each epoch was meant, or a length in steps: epochs times the batches of an epoch. "
        + _SCHEDULE,
    ),
    "schedule.constant": Wording(
        "the learning rate stayed at {highest:.3g} though {asked} was asked for", _SCHEDULE
    ),
    "schedule.above_floor": Wording(
        "the learning rate ended at {last:.3g} at step {last_step}, {share:.0%} of the way above "
        "its floor {floor:.3g}",
        "The fine steps at the end of the schedule were never taken.",
    ),
    "loss_scale": Wording(
        "dev loss is {ratio:.2f} times train loss in {epochs} epochs ({dev_loss:.4g} against "
        "{train_loss:.4g}) though accuracies differ by {largest_gap:.3f} at most",
        "Losses that are averaged over different things cannot be held against each other.",
    ),
    "same_seed.parted": Wording(
        "its losses are those of Try {reference} until step {alike_until} and part by step "
        "{parts_at}{compared}",
        _SEED,
    ),
    "same_seed.never": Wording(
        "its losses are those of Try {reference} at every common step, the last {alike_until}",
        _SEED + " Where they never part, the varied parameter had no effect.",
    ),
    "not_applied": Wording(
        "{worker}", "The trial was not trained with what its row says, so it compares with nothing."
    ),
    "not_observed": Wording("{worker}", "What was not seen may be right, and may be not."),
    "parameters_in_no_group": Wording(
        "{worker}", "What the optimizer was not given stays as it was initialised."
    ),
    "log_doubled_epoch": Wording(
        "{worker}",
        "Of two results of one epoch the first is kept: the log holds more than one run.",
    ),
    "log_cut_number": Wording(
        "{worker}", "A number that was cut is not the one that was measured."
    ),
    "mismatch": Wording(
        "{worker}", "The trial is not the one that its row says, so it compares with nothing."
    ),
    "oom_retry": Wording(
        "{worker}", "The same gradient in more, smaller parts: slower, but not another result."
    ),
    "patience": Wording("{worker}", "Epochs after the best one were saved."),
}

CHINESE: dict[str, Wording] = {
    "no_learning.steps": Wording(
        "第 {first_step} 到 {last_step} 步损失停在 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平"
        "（{chance:.3f}）",
        _GUESSING_ZH,
    ),
    "no_learning.steps_alone": Wording(
        "第 {first_step} 到 {last_step} 步损失停在 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}",
        _GUESSING_ZH,
    ),
    "no_learning.epochs": Wording(
        "第 {last_epoch} 轮后训练损失为 {loss:.3f}，与 ln {classes} = {guessing_loss:.3f} 相差不到 "
        "{tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平（{chance:.3f}）",
        _GUESSING_ZH,
    ),
    "majority_class.kept": Wording(
        "保留的第 {epoch} 轮把 {share:.0%} 的预测给了类别 {class}", _COLLAPSED_ZH
    ),
    "majority_class.last": Wording(
        "最后的第 {epoch} 轮把 {share:.0%} 的预测给了类别 {class}", _COLLAPSED_ZH
    ),
    "majority_class.early": Wording(
        "前期有 {count} 轮（{epochs}）把所有预测给了同一类别",
        "起步慢很常见；若持续下去，预热或类别权重可缩短它。",
    ),
    "stagnation": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失只变化了 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}），学习率最高 {lr:.2g}",
        _STILL_ZH,
    ),
    "stagnation.unknown_rate": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失只变化了 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}）",
        _STILL_ZH,
    ),
    "frozen_validation": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮 {metric} 停在 {value:.6g}（变化 {movement:.5%}），"
        "而 {moved} 变化了 {moved_by:.4%}",
        "权重变了预测就会变，因此验证并没有真正进行：重复使用了相同的输出、掩码或模型副本。",
    ),
    "divergence.rose": Wording(
        "到 {unit} {last_at} 损失从 {first_loss:.3f} 升到 {last_loss:.3f}（{ratio:.2f} 倍）",
        "步子太大会远离任何解，继续训练也回不来。",
    ),
    "divergence.fell_back": Wording(
        "到 {unit} {lowest_at} 损失降到 {lowest_loss:.3f}，到 {unit} {last_at} 又回到 "
        "{last_loss:.3f}",
        "步子太大，已经学到的又丢失了。",
    ),
    "non_finite": Wording(
        "第 {step} 步的 {what} 不是有限数", "出现 NaN 或无穷大后无法恢复：它碰到的权重全都失效。"
    ),
    "exploding_weights": Wording(
        "到第 {step} 步 {block} 的权重范数从 {start:.4g} 增长到 {largest:.4g}（{ratio:.1f} 倍）",
        "增长这么多的预训练权重已经忘记了原有知识。",
    ),
    "dead_gradients": Wording(
        "{trained} 个可训练模块中有 {dead} 个没有梯度（{blocks}），共测量 {steps_measured} 步",
        "它们算作可训练，却永远学不到：从损失到它们的通路断了。",
    ),
    "frozen_too_much": Wording(
        "{parameters} 个参数中只训练 {trainable} 个（{share:.3%}；freeze: {freeze}）",
        "参数太少，难以把通用特征转成任务特征。",
    ),
    "label_range": Wording(
        "{split} 标签范围为 {lowest} 到 {highest}，允许 0 到 {last_class}",
        "不属于任何类别的标签会使损失失去意义，或使训练中断。",
    ),
    "overfit": Wording(_OVERFIT_SEEN_ZH, _OVERFIT_ZH),
    "underfit": Wording(
        "第 {epochs} 轮后训练准确率为 {train_accuracy:.3f}，从随机水平（{chance:.3f}）到 1 只走了 "
        "{way:.0%}",
        "连训练集都没有拟合，说明正则化过强或训练步数太少。",
    ),
    "still_improving": Wording(
        "最后的第 {epoch} 轮最好，为 {value:.3f}：比最后 {epochs} 轮之前好 {gain:.3f}",
        _IMPROVING_ZH,
    ),
    "still_improving.stopped": Wording(
        "在第 {epoch} 轮后被停止时正处于最好的 {value:.3f}：比最后 {epochs} 轮之前好 {gain:.3f}",
        _IMPROVING_ZH,
    ),
    "schedule.peak": Wording(
        "学习率达到 {highest:.3g}，是设定值 {asked:.3g} 的 {ratio:.3g} 倍", _SCHEDULE_ZH
    ),
    "schedule.swinging": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间摆动，周期 {period_steps:g} 步，共 "
        "{turns} 次",
        "调度长度按轮设定，却在每个批次后调用。" + _SCHEDULE_ZH,
    ),
    "schedule.swinging_by_epochs": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间摆动，周期 {period_steps:g} 步，共 "
        "{turns} 次：下降恰好 {epochs} 步，与轮数相同；按步计应为 {steps_meant} 步",
        "调度长度按轮给出，却在每个批次后调用。本意可能是每轮调用一次，或把长度设为总步数。"
        + _SCHEDULE_ZH,
    ),
    "schedule.constant": Wording("学习率一直是 {highest:.3g}，而设定的是 {asked}", _SCHEDULE_ZH),
    "schedule.above_floor": Wording(
        "学习率在第 {last_step} 步停在 {last:.3g}，比最低值 {floor:.3g} 高出 {share:.0%}",
        "调度末尾的精细步从未走到。",
    ),
    "loss_scale": Wording(
        "{epochs} 轮中验证损失都是训练损失的 {ratio:.2f} 倍（{dev_loss:.4g} 对 {train_loss:.4g}），"
        "而准确率最多相差 {largest_gap:.3f}",
        "归一化方式不同的损失不能相互比较。",
    ),
    "same_seed.parted": Wording(
        "到第 {alike_until} 步损失与 Try {reference} 完全相同，第 {parts_at} 步时已分开{compared}",
        _SEED_ZH,
    ),
    "same_seed.never": Wording(
        "所有共同步的损失都与 Try {reference} 相同，直到第 {alike_until} 步",
        _SEED_ZH + "若始终不分开，则所改参数没有效果。",
    ),
    "not_applied": Wording("{worker}", "这次试验训练时用的不是其所在行所写的设置。"),
    "not_observed": Wording("{worker}", "没有看到的部分可能正确，也可能不正确。"),
    "parameters_in_no_group": Wording("{worker}", "优化器没有拿到的参数永远保持初始值。"),
    "log_doubled_epoch": Wording("{worker}", "同一轮有两个结果，只保留第一个。"),
    "log_cut_number": Wording("{worker}", "被截断的数字并不是测得的数字。"),
    "mismatch": Wording("{worker}", "这次试验并非其所在行所写的设置，无法比较。"),
    "oom_retry": Wording("{worker}", "同样的梯度分成更小的部分：较慢，但结果不变。"),
    "patience": Wording("{worker}", "省去了最佳轮之后的轮次。"),
}

WORDINGS: dict[Language, dict[str, Wording]] = {"en": ENGLISH, "zh": CHINESE}

LEVELS: dict[Language, dict[str, str]] = {
    "en": {"slight": "slight", "moderate": "moderate", "severe": "severe", "none": "no"},
    "zh": {"slight": "轻微", "moderate": "中等", "severe": "严重", "none": "无"},
}

UNITS: dict[Language, dict[str, str]] = {
    "en": {"step": "step", "epoch": "epoch"},
    "zh": {"step": "步", "epoch": "轮"},
}

AT_BEST: dict[Language, str] = {
    "en": " and {gap_at_best:.3f} at the best",
    "zh": "，最佳轮为 {gap_at_best:.3f}",
}

COMPARED: dict[Language, str] = {
    "en": "; at step {step} {loss:.4f} against {other:.4f}",
    "zh": "；第 {step} 步 {loss:.4f} 对 {other:.4f}",
}

ADVICE: dict[Language, dict[AdviceDirection, str]] = {
    "en": {
        "raise": "raise {parameter}",
        "lower": "lower {parameter}",
        "set": "set {parameter}",
        "check": "check {parameter}",
    },
    "zh": {
        "raise": "提高 {parameter}",
        "lower": "降低 {parameter}",
        "set": "设置 {parameter}",
        "check": "检查 {parameter}",
    },
}

ADVICE_VALUE: dict[Language, str] = {"en": " to {value}", "zh": " 为 {value}"}
