"""The texts of findings, apart from their logic: what was measured, and why it matters.

Both languages are filled from the same evidence. The key of a text is `kind.variant` or `kind`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """The message has placeholders for fields of the evidence; the explanation has none."""

    message: str
    explanation: str


_GUESSING = (
    "This is the loss of guessing, so the model has learned nothing: the learning rate is too low, "
    "too much is frozen, or the gradients do not arrive."
)
_GUESSING_ZH = "这正是随机猜测的损失，说明模型什么都没学到：学习率太低、冻结过多，或梯度没有传到。"
_SCHEDULE = "The requested learning rate is not the one that trained, so tries are not comparable."
_SCHEDULE_ZH = "实际训练所用的学习率与设定值不符，各次实验不可比较。"
_OVERFIT = "The model memorizes the train sentences; more training does not help on others."
_OVERFIT_ZH = "模型在记忆训练集，继续训练对其他句子没有帮助。"
_COLLAPSED = "A model that always predicts one class has not learned to distinguish the classes."
_COLLAPSED_ZH = "总是预测同一类别的模型没有学会区分类别。"
_STAGNATION = (
    "Epochs without progress waste time: the weights are stuck, or the model is at its limit."
)
_STAGNATION_ZH = "没有进展的轮次只是浪费时间：权重卡住了，或模型能力已到上限。"
_IMPROVING = "More epochs would probably improve it, so the comparison underrates this try."
_IMPROVING_ZH = "再训练几轮很可能更好，因此目前的比较低估了这次实验。"
_SEED = "The first losses are equal because the seeds are, not because a parameter is ignored."
_SEED_ZH = "开头的损失相同是因为随机种子相同，并不表示参数没有生效。"

_OVERFIT_MESSAGE = (
    "{level} overfitting: train minus dev accuracy is {gap_at_last:.3f} at the last "
    "epoch{at_best}; dev accuracy peaked at epoch {peak_epoch} with {peak_accuracy:.3f}, "
    "{epochs_after_peak} epochs before the end"
)
_OVERFIT_MESSAGE_ZH = (
    "{level}过拟合：末轮训练与验证准确率之差为 {gap_at_last:.3f}{at_best}；"
    "验证准确率在第 {peak_epoch} 轮达到峰值 {peak_accuracy:.3f}，"
    "此后又训练了 {epochs_after_peak} 轮"
)

ENGLISH: dict[str, Wording] = {
    "no_learning.steps": Wording(
        "from step {first_step} to {last_step} the mean loss is {loss:.3f}, within {tolerance:.0%} "
        "of ln {classes} = {guessing_loss:.3f}, and accuracy {accuracy:.3f} is at chance "
        "({chance:.3f})",
        _GUESSING,
    ),
    "no_learning.steps_alone": Wording(
        "from step {first_step} to {last_step} the mean loss is {loss:.3f}, within {tolerance:.0%} "
        "of ln {classes} = {guessing_loss:.3f}",
        _GUESSING,
    ),
    "no_learning.epochs": Wording(
        "the train loss is {loss:.3f} after epoch {last_epoch}, within {tolerance:.0%} of "
        "ln {classes} = {guessing_loss:.3f}, and accuracy {accuracy:.3f} is at chance "
        "({chance:.3f})",
        _GUESSING,
    ),
    "majority_class.best": Wording(
        "at the best epoch, {epoch}, {share:.0%} of the predictions are class {class}",
        _COLLAPSED,
    ),
    "majority_class.last": Wording(
        "at the last epoch, {epoch}, {share:.0%} of the predictions are class {class}",
        _COLLAPSED,
    ),
    "majority_class.early": Wording(
        "in {count} early epochs ({epochs}) all predictions are one class",
        "A slow start is common; if it lasts, warm-up or balanced class weights shorten it.",
    ),
    "stagnation": Wording(
        "the train loss changed by {movement:.3%} from epoch {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g}) at a learning rate of up to {lr:.2g}",
        _STAGNATION,
    ),
    "stagnation.unknown_rate": Wording(
        "the train loss changed by {movement:.3%} from epoch {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g})",
        _STAGNATION,
    ),
    "frozen_validation": Wording(
        "{metric} stayed at {value:.6g} from epoch {first_epoch} to {last_epoch} (changed by "
        "{movement:.5%}) while {moved} changed by {moved_by:.4%}",
        "Changing weights change predictions, so dev is not really evaluated: the same outputs, "
        "masks or copy of the model are used again.",
    ),
    "divergence.rose": Wording(
        "the loss rose from {first_loss:.3f} to {last_loss:.3f} ({ratio:.2f} times) by {unit} "
        "{last_at}",
        "Steps that are too large lead away from any solution; more of them do not lead back.",
    ),
    "divergence.fell_back": Wording(
        "the loss fell to {lowest_loss:.3f} by {unit} {lowest_at} and rose back to "
        "{last_loss:.3f} by {unit} {last_at}",
        "Steps that are too large destroyed what the model had learned.",
    ),
    "non_finite": Wording(
        "the {what} is not finite at step {step}",
        "NaN or infinity is final: every weight that it reaches is lost.",
    ),
    "exploding_weights": Wording(
        "the weight norm of {block} grew from {start:.4g} to {largest:.4g} ({ratio:.1f} times) by "
        "step {step}",
        "Pretrained weights that grow this much lose what they had learned.",
    ),
    "dead_gradients": Wording(
        "{dead} of {trained} trainable blocks get no gradient ({blocks}) in {steps_measured} "
        "measured steps",
        "They count as trainable but never learn: no gradient flows from the loss to them.",
    ),
    "frozen_too_much": Wording(
        "only {trainable} of {parameters} parameters are trained ({share:.3%}; freeze: {freeze})",
        "So few parameters can hardly adapt general features to the task.",
    ),
    "label_range": Wording(
        "{split} labels range from {lowest} to {highest}; allowed are 0 to {last_class}",
        "A label outside the classes makes the loss meaningless, or ends the training.",
    ),
    "overfit": Wording(_OVERFIT_MESSAGE, _OVERFIT),
    "underfit": Wording(
        "train accuracy is {train_accuracy:.3f} after epoch {epochs}, {way:.0%} of the way from "
        "chance ({chance:.3f}) to 1",
        "The model does not even fit its train data: too much regularisation, or too few steps.",
    ),
    "still_improving": Wording(
        "the last epoch, {epoch}, is the best with {value:.3f}, {gain:.3f} better than before the "
        "last {epochs} epochs",
        _IMPROVING,
    ),
    "still_improving.stopped": Wording(
        "it was stopped after epoch {epoch} at its best value of {value:.3f}, {gain:.3f} better "
        "than before the last {epochs} epochs",
        _IMPROVING,
    ),
    "schedule.peak": Wording(
        "the learning rate peaked at {highest:.3g}, {ratio:.3g} times the requested {asked:.3g}",
        _SCHEDULE,
    ),
    "schedule.swinging": Wording(
        "the learning rate ({asked}) oscillates between {lowest:.3g} and {highest:.3g} with a "
        "period of {period_steps:g} steps, {turns} times",
        "A schedule with a length in epochs is stepped after every batch. " + _SCHEDULE,
    ),
    "schedule.swinging_by_epochs": Wording(
        "the learning rate ({asked}) oscillates between {lowest:.3g} and {highest:.3g} with a "
        "period of {period_steps:g} steps, {turns} times: it falls for {epochs} steps, the number "
        "of epochs, although these have {steps_meant} steps",
        "The schedule's length is in epochs, but it is stepped after every batch. Step it once per "
        "epoch, or set its length in steps: epochs times batches per epoch. " + _SCHEDULE,
    ),
    "schedule.constant": Wording(
        "the learning rate stayed at {highest:.3g} although the schedule is {asked}", _SCHEDULE
    ),
    "schedule.above_floor": Wording(
        "the learning rate ended at {last:.3g} at step {last_step}, {share:.0%} of its range above "
        "its floor of {floor:.3g}",
        "The small steps at the end of the schedule were never taken.",
    ),
    "loss_scale": Wording(
        "dev loss is {ratio:.2f} times train loss in {epochs} epochs ({dev_loss:.4g} and "
        "{train_loss:.4g}), although accuracies differ by at most {largest_gap:.3f}",
        "Losses that are averaged over different units are not comparable.",
    ),
    "same_seed.differs": Wording(
        "its losses equal those of Try {reference} up to step {alike_until} and differ by step "
        "{parts_at}{compared}",
        _SEED,
    ),
    "same_seed.identical": Wording(
        "its losses equal those of Try {reference} at all common steps, up to step {alike_until}",
        _SEED + " If they never differ, the varied parameter has no effect.",
    ),
    "not_applied": Wording(
        "{worker}",
        "The try was not trained with the settings in its row, so it cannot be compared.",
    ),
    "not_observed": Wording("{worker}", "A setting that was not observed may be right or wrong."),
    "parameters_in_no_group": Wording(
        "{worker}", "Parameters that the optimizer does not have keep their initial values."
    ),
    "log_doubled_epoch": Wording(
        "{worker}",
        "If an epoch has two results, the first one counts: the log contains more than one run.",
    ),
    "log_cut_number": Wording("{worker}", "A truncated number is not the measured one."),
    "mismatch": Wording(
        "{worker}",
        "The try was not trained with the settings in its row, so it cannot be compared.",
    ),
    "oom_retry": Wording(
        "{worker}", "The same gradient from more, smaller micro-batches: slower, same result."
    ),
    "patience": Wording("{worker}", "This saved the epochs after the best one."),
}

CHINESE: dict[str, Wording] = {
    "no_learning.steps": Wording(
        "第 {first_step} 到 {last_step} 步的平均损失为 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平"
        "（{chance:.3f}）",
        _GUESSING_ZH,
    ),
    "no_learning.steps_alone": Wording(
        "第 {first_step} 到 {last_step} 步的平均损失为 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}",
        _GUESSING_ZH,
    ),
    "no_learning.epochs": Wording(
        "第 {last_epoch} 轮后训练损失为 {loss:.3f}，与 ln {classes} = {guessing_loss:.3f} 相差不到 "
        "{tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平（{chance:.3f}）",
        _GUESSING_ZH,
    ),
    "majority_class.best": Wording(
        "最佳轮（第 {epoch} 轮）有 {share:.0%} 的预测为类别 {class}", _COLLAPSED_ZH
    ),
    "majority_class.last": Wording(
        "末轮（第 {epoch} 轮）有 {share:.0%} 的预测为类别 {class}", _COLLAPSED_ZH
    ),
    "majority_class.early": Wording(
        "前期有 {count} 轮（{epochs}）的预测全部为同一类别",
        "起步慢很常见；若一直如此，可用学习率预热或类别权重来改善。",
    ),
    "stagnation": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失仅变化 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}），学习率最高为 {lr:.2g}",
        _STAGNATION_ZH,
    ),
    "stagnation.unknown_rate": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失仅变化 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}）",
        _STAGNATION_ZH,
    ),
    "frozen_validation": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮 {metric} 保持在 {value:.6g}（变化 {movement:.5%}），"
        "而 {moved} 变化了 {moved_by:.4%}",
        "权重变化会改变预测，因此验证并没有真正进行：重复使用了相同的输出、掩码或模型副本。",
    ),
    "divergence.rose": Wording(
        "到第 {last_at} {unit}，损失从 {first_loss:.3f} 升到 {last_loss:.3f}（{ratio:.2f} 倍）",
        "步长过大会远离任何解，继续训练也无法恢复。",
    ),
    "divergence.fell_back": Wording(
        "到第 {lowest_at} {unit}损失降到 {lowest_loss:.3f}，到第 {last_at} {unit}又回升至 "
        "{last_loss:.3f}",
        "步长过大，破坏了已经学到的内容。",
    ),
    "non_finite": Wording(
        "第 {step} 步的 {what} 不是有限数",
        "NaN 或无穷大无法恢复：受其影响的权重全部失效。",
    ),
    "exploding_weights": Wording(
        "到第 {step} 步，{block} 的权重范数从 {start:.4g} 增长到 {largest:.4g}（{ratio:.1f} 倍）",
        "预训练权重增长这么多，原有知识已经丢失。",
    ),
    "dead_gradients": Wording(
        "{trained} 个可训练模块中有 {dead} 个在 {steps_measured} 个测量步中没有梯度（{blocks}）",
        "它们虽可训练，却永远学不到东西：损失的梯度传不到它们。",
    ),
    "frozen_too_much": Wording(
        "{parameters} 个参数中只训练 {trainable} 个（{share:.3%}；freeze：{freeze}）",
        "可训练的参数太少，难以把通用特征调整为任务特征。",
    ),
    "label_range": Wording(
        "{split} 标签范围为 {lowest} 到 {highest}，允许范围为 0 到 {last_class}",
        "标签超出类别范围会使损失失去意义，或使训练中断。",
    ),
    "overfit": Wording(_OVERFIT_MESSAGE_ZH, _OVERFIT_ZH),
    "underfit": Wording(
        "第 {epochs} 轮后训练准确率为 {train_accuracy:.3f}，从随机水平（{chance:.3f}）到 1 只走了 "
        "{way:.0%}",
        "连训练集都没有拟合，说明正则化过强或训练步数太少。",
    ),
    "still_improving": Wording(
        "末轮（第 {epoch} 轮）最好，为 {value:.3f}，比最后 {epochs} 轮之前提高 {gain:.3f}",
        _IMPROVING_ZH,
    ),
    "still_improving.stopped": Wording(
        "在第 {epoch} 轮后被停止时正处于最好值 {value:.3f}，比最后 {epochs} 轮之前提高 {gain:.3f}",
        _IMPROVING_ZH,
    ),
    "schedule.peak": Wording(
        "学习率峰值为 {highest:.3g}，是设定值 {asked:.3g} 的 {ratio:.3g} 倍", _SCHEDULE_ZH
    ),
    "schedule.swinging": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间振荡，周期 {period_steps:g} 步，共 "
        "{turns} 次",
        "调度长度按轮设定，却在每个批次后更新。" + _SCHEDULE_ZH,
    ),
    "schedule.swinging_by_epochs": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间振荡，周期 {period_steps:g} 步，共 "
        "{turns} 次：每次下降 {epochs} 步，恰为轮数，而这些轮共有 {steps_meant} 步",
        "调度长度按轮设定，却在每个批次后更新。应改为每轮更新一次，或把长度设为总步数"
        "（轮数乘以每轮批次数）。" + _SCHEDULE_ZH,
    ),
    "schedule.constant": Wording("学习率一直为 {highest:.3g}，而调度设定为 {asked}", _SCHEDULE_ZH),
    "schedule.above_floor": Wording(
        "学习率在第 {last_step} 步结束于 {last:.3g}，比下限 {floor:.3g} 高出变化范围的 {share:.0%}",
        "没有执行调度末尾的小步长阶段。",
    ),
    "loss_scale": Wording(
        "{epochs} 轮中验证损失都是训练损失的 {ratio:.2f} 倍（{dev_loss:.4g} 与 {train_loss:.4g}），"
        "而准确率最多相差 {largest_gap:.3f}",
        "按不同单位取平均的损失不可比较。",
    ),
    "same_seed.differs": Wording(
        "到第 {alike_until} 步为止损失与 Try {reference} 完全相同，第 {parts_at} 步时已不同"
        "{compared}",
        _SEED_ZH,
    ),
    "same_seed.identical": Wording(
        "在所有共同的步上损失都与 Try {reference} 相同，直到第 {alike_until} 步",
        _SEED_ZH + "如果始终相同，说明所改参数没有效果。",
    ),
    "not_applied": Wording("{worker}", "这次实验没有按表中所列的设置训练，不可比较。"),
    "not_observed": Wording("{worker}", "未观察到的设置可能正确，也可能不正确。"),
    "parameters_in_no_group": Wording("{worker}", "没有交给优化器的参数会一直保持初始值。"),
    "log_doubled_epoch": Wording("{worker}", "同一轮有两个结果时只取第一个：日志中不止一次运行。"),
    "log_cut_number": Wording("{worker}", "被截断的数字不是实测值。"),
    "mismatch": Wording("{worker}", "这次实验没有按表中所列的设置训练，不可比较。"),
    "oom_retry": Wording("{worker}", "同样的梯度由更多、更小的微批次累积而成：较慢，结果不变。"),
    "patience": Wording("{worker}", "省去了最佳轮之后的轮次。"),
}
