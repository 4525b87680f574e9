"""What people read of how tries compare and of how the best one went, in Chinese."""

_REPORT = {
    "list.comma": "、",
    "list.semicolon": "；",
    "sentence.gap": "",
    "try.baseline": "基线",
    "objective.dev_accuracy": "验证准确率",
    "objective.dev_macro_f1": "验证宏平均 F1",
    "objective.dev_loss": "验证损失",
    "status.waiting": "等待中",
    "status.running": "运行中",
    "status.drained": "已暂停",
    "status.completed": "完成",
    "status.pruned": "已剪枝",
    "status.stopped": "已停止",
    "status.failed": "失败",
    "severity.info": "提示",
    "severity.warning": "警告",
    "severity.error": "错误",
    "level.none": "无",
    "level.slight": "轻微",
    "level.moderate": "中等",
    "level.severe": "严重",
    "table.try": "实验",
    "table.parameter": "参数 {name}",
    "table.epochs_run": "训练轮数",
    "table.best_value": "最佳{objective}",
    "table.best_dev_accuracy": "验证准确率峰值",
    "table.best_epoch": "峰值轮次",
    "table.last_dev_accuracy": "末轮验证准确率",
    "table.train_accuracy": "训练准确率",
    "table.test_accuracy": "测试准确率",
    "table.gap": "训练与验证之差",
    "table.delta": "与 {against} 之差",
    "table.trained": "可训练比例",
    "table.seconds": "秒",
    "table.findings": "诊断",
    "table.state": "状态",
    "table.interval_low": "95% 下限",
    "table.interval_high": "95% 上限",
    "table.confirmed_mean": "复验均值",
    "table.confirmed_low": "复验下限",
    "table.confirmed_high": "复验上限",
    "table.confirmed_seeds": "种子数",
    "table.p_best": "与最佳比较的 p",
    "table.group": "组别",
    "table.stars": "推荐度",
    "table.equal_best": "同轮次与最佳之差",
    "table.equal_baseline": "同轮次与 {against} 之差",
    "table.device_seconds": "设备秒",
    "table.note": "{study} 实验表",
    "table.more": "另有 {count} 次未列出。",
    "findings.mark": "{kind}（{severity}）",
    "state.baseline": "{status}（基线）",
    "state.reason": "{state}：{reason}",
    "state.attempts": "{state}，共启动 {count} 次",
    "summary.empty": "尚未开始任何实验。",
    "summary.counts.one": "共 {count} 次实验：{named}。",
    "summary.counts.other": "共 {count} 次实验：{named}。",
    "summary.counted": "{count} 次{status}",
    "summary.values": "（{values}）",
    "summary.after": "（第 {epoch} 轮）",
    "summary.best": "最佳为 {label}{values}，{objective} {value}{after}。",
    "summary.best_is_baseline": "最佳为 {label}{values}，{objective} {value}{after}，即基线本身。",
    "summary.best_and_baseline": (
        "最佳为 {label}{values}，{objective} {value}{after}；基线 {baseline} 为 {reached}。"
    ),
    "facts.swept": "扫描参数",
    "facts.baseline": "基线",
    "facts.sampler": "采样器",
    "facts.pruner": "剪枝器",
    "facts.trainer": "训练器",
    "facts.model": "模型",
    "facts.data": "数据",
    "facts.sizes": "数据量",
    "facts.classes": "类别",
    "facts.seed": "随机种子",
    "facts.machines": "运行设备",
    "facts.versions": "版本",
    "facts.note": "备注",
    "facts.range": "{low} 至 {high}",
    "facts.log_range": "{low} 至 {high}（对数）",
    "facts.threads.one": "{count} 线程",
    "facts.threads.other": "{count} 线程",
    "report.title": "扫描 {study}",
    "report.tries": "实验",
    "report.facts": "实验条件",
    "report.findings": "诊断",
    "report.failures": "失败的启动",
}


_PAGE = {
    "status.retried": "已重试",
    "status.unfinished": "未结束",
    "page.title": "{study} – 实验表",
    "page.dark": "深色",
    "page.tries": "实验表",
    "page.tries.caption": (
        "准确率均为比例。训练准确率取自训练集的固定样本，关闭随机失活，在峰值轮次测得；"
        "差值为训练减验证。可训练比例是模型中参与训练的参数所占的份额。"
        "未完成的实验单列，显示目前最好的结果。空白表示从未测得。点击表头可排序。"
    ),
    "page.findings": "诊断",
    "page.findings.caption": "由每次实验的曲线与事件得出，最严重的在前。",
    "page.count.one": "{count} 次实验",
    "page.count.other": "{count} 次实验",
    "page.why": "为何重要",
    "page.next": "下一步建议",
    "page.try": "实验",
    "page.seen": "所见",
    "page.attempt": "启动",
    "page.outcome": "结果",
    "page.message": "信息",
    "page.failures": "失败的启动",
    "page.parameters": "参数与{objective}",
    "page.parameters.intervals": "竖线为验证准确率的 95% 置信区间（威尔逊法）。",
    "page.parameters.hover": "点数过多，95% 置信区间见悬停提示。",
    "page.cost.what": "用途",
    "page.cost.wall": "进程秒",
    "page.cost.device": "设备秒",
    "page.cost.total": "合计",
    "page.cost.point": "最佳实验比基线每高一个百分点的验证准确率，花费 {seconds} 设备秒。",
    "page.settings": "设定值与实际值",
    "page.settings.caption": "实际值由训练进程从运行中的对象读回。不一致处以 ≠ 标出。",
    "page.settings.setting": "设置",
    "page.settings.requested": "设定值",
    "page.settings.effective": "实际值",
    "page.settings.differ.one": "≠ {count} 处不一致",
    "page.settings.differ.other": "≠ {count} 处不一致",
    "page.settings.same": "全部一致",
    "page.facts": "扫描内容与条件",
    "picture.hover": "{hover}，{what}",
    "picture.epoch": "轮次",
    "picture.step": "优化步数",
    "picture.rate": "学习率",
    "picture.train": "训练准确率",
    "picture.best_epoch": "峰值轮次",
    "picture.baseline": "{name}（基线）",
    "picture.others": "其他完成的实验",
    "picture.not_completed": "未完成",
    "picture.best_tenth": "最好的十分之一",
    "picture.so_far": "未完成：目前最好",
    "picture.best_of": "最佳{objective}",
    "picture.share": "重要性份额",
    "picture.low": "低",
    "picture.high": "高",
    "picture.last_epoch": "最后轮次",
    "picture.hours": "自首次启动起的小时数",
    "picture.minutes": "自首次启动起的分钟数",
    "picture.wall_seconds": "进程秒",
    "picture.saved": "提前结束所省",
    "picture.attempt": "{hover}，第 {attempt} 次启动：{outcome}，历时 {seconds} 秒",
    "picture.thinned": "此类曲线共 {count} 条，按名次均匀画出 {shown} 条；全部数字见实验表。",
    "picture.curves": "曲线",
    "picture.curves.caption": (
        "实线为目标，虚线为训练准确率，圆圈为峰值轮次。最好的几次与基线有颜色，其余为灰色；"
        "叉号为未完成实验的终点。"
    ),
    "picture.rates": "实际学习率",
    "picture.rates.caption": (
        "在每个记录的步读自优化器；若各组权重的学习率不同，取第一组。走势相同的实验只画一条。"
    ),
    "picture.importances": "参数重要性",
    "picture.importances.caption": (
        "对 {count} 次完成的实验做 PED-ANOVA：在扫描范围内，哪些参数使较好的实验与众不同。"
    ),
    "picture.parallel": "全部参数并列",
    "picture.parallel.caption": (
        "每条线是一次实验。每条轴从最低值到最高值，数值写在轴下；最后一条轴是最佳{objective}。"
    ),
    "picture.ends": "各次实验止于何处",
    "picture.ends.caption": "高度为最后评估的轮次，记号表示结束的原因。",
    "picture.slots": "何时何处运行",
    "picture.slots.caption": "每条横条是某个槽位上的一次启动。",
    "picture.slots.cut.one": "省去 {count} 段无任务的长时间停顿。",
    "picture.slots.cut.other": "省去 {count} 段无任务的长时间停顿。",
    "picture.cost": "成本",
    "picture.cost.caption": (
        "训练进程的运行秒数，按启动的结局分列。提前结束所省为估计值："
        "未运行的轮次乘以该实验每轮的秒数。"
    ),
}


_VERDICT = {
    "list.and": "{first} 和 {last}",
    "list.more": "{named} 等，另有 {count} 次",
    "verdict.interval": (
        "其 95% 区间为 {low:.3f} 至 {high:.3f}（Wilson 区间，{examples} 条验证样本）。"
    ),
    "verdict.same": (
        "{named} 与最佳无法区分：对验证集预测做精确 McNemar 检验，按 {tested} 次比较做 Holm 校正，"
        "显著性水平 5%。"
    ),
    "verdict.alone": (
        "其余 {tested} 次实验均与最佳有显著差异：对验证集预测做精确 McNemar 检验并做 Holm 校正，"
        "显著性水平 5%。"
    ),
    "verdict.untested": "无法用检验与其他实验比较：{why}。",
    "verdict.baseline_apart": (
        "与基线 {label} 相比为 {points:+.1f} 个百分点（95% 自助法区间 {low:+.1f} 至 {high:+.1f}，"
        "校正后 p = {p}），差异显著。"
    ),
    "verdict.baseline_same": (
        "与基线 {label} 相比为 {points:+.1f} 个百分点（95% 自助法区间 {low:+.1f} 至 {high:+.1f}，"
        "校正后 p = {p}），可能只是偶然。"
    ),
    "verdict.early.one": "{count} 次实验提前结束，只在相同轮次上比较。",
    "verdict.early.other": "{count} 次实验提前结束，只在相同轮次上比较。",
    "verdict.cost": "全部实验共用 {device} 设备秒。",
    "verdict.saved": "未训练的轮次本来还需要 {saved} 秒。",
    "verdict.per_point": "验证准确率每比基线高一个百分点，花费 {seconds} 设备秒。",
    "verdict.unconfirmed": (
        "从 {count} 次实验中取最好的一次，也取了它的运气：make confirm NAME={study} "
        "会用新的随机种子重新训练领先者。"
    ),
    "confirmed.mean": (
        "{label} 在 {count} 个新种子上的均值为 {mean:.3f}（95% t 区间 {low:.3f} 至 {high:.3f}）。"
    ),
    "confirmed.mean_alone": "{label} 在一个新种子上为 {mean:.3f}。",
    "confirmed.baseline": (
        "{label} 与基线在 {count} 个共同种子上之差为 {difference:+.3f}（95% t 区间 {low:+.3f} 至 "
        "{high:+.3f}{p}）。"
    ),
    "confirmed.p": "；配对 t 检验，校正后 p = {p}",
    "confirmed.optimism": (
        "搜索中优胜者 {label} 为 {found:.3f}，新种子为 {mean:.3f}："
        "搜索所见高出 {points:+.1f} 个百分点。"
    ),
    "confirmed.expected": (
        "仅凭噪声，{draws} 次同样好的实验中最好的一次就会显得高出 {points:.1f} 个百分点"
        "（各种子间标准差 {deviation:.1f} 个百分点）。"
    ),
    "confirmed.optimism_units": (
        "搜索中优胜者 {label} 为 {found:.3f}，新种子为 {mean:.3f}：搜索所见高出 {difference:+.3f}。"
    ),
    "confirmed.expected_units": (
        "仅凭噪声，{draws} 次同样好的实验中最好的一次就会显得好 {difference:.3f}"
        "（各种子间标准差 {deviation:.3f}）。"
    ),
    "confirmed.title": "新种子上的结果",
    "missing.itself": "就是它本身",
    "missing.not_completed": "没有训练完",
    "missing.no_predictions": "没有保存预测",
    "missing.no_gold": "验证集没有标注",
    "missing.other_size": "预测数与验证样本数不符",
    "missing.no_other": "没有可比较的实验",
    "missing.other_untold": "对方没有保存预测",
    "pairs.title": "各次实验与最佳和基线的比较",
    "pairs.caption": (
        "同一批样本上验证准确率之差，附 95% 自助法区间和精确 McNemar 检验；校正 p 用 Holm 方法。"
    ),
    "pairs.more": "另有 {count} 次见 {file}。",
    "pairs.best_difference": "与最佳之差",
    "pairs.best_low": "下限",
    "pairs.best_high": "上限",
    "pairs.best_p": "p 值",
    "pairs.best_corrected": "校正 p",
    "pairs.best_reason": "未检验的原因",
    "pairs.baseline_difference": "与 {against} 之差",
    "pairs.baseline_low": "基线下限",
    "pairs.baseline_high": "基线上限",
    "pairs.baseline_p": "基线 p 值",
    "pairs.baseline_corrected": "基线校正 p",
    "pairs.baseline_reason": "未与基线检验的原因",
    "story.title": "{label} 结果分析",
    "story.changed": "实验配置",
    "story.figures": "关键指标",
    "story.phases": "训练趋势",
    "story.earlier": "与其他实验的对比",
    "story.next": "下一步建议",
    "story.part": "{title}：",
    "story.difference": "{name} {value}（基线为 {baseline}）",
    "story.differs": "{label}：{named}，其余与基线相同。",
    "story.is_baseline": "{label} 就是基线：没有一项改动更好。",
    "story.settings": "{label} 的配置为 {values}。",
    "story.first_peak_last": ("{what}：初始 {first}，峰值 {peak}（第 {epoch} 轮），最终 {last}。"),
    "story.first_last": "{what}：从 {first} 到 {last}。",
    "story.gap": "最佳轮次的训练准确率为 {train:.3f}，与验证之差 {gap:+.3f}。",
    "story.overfit": "过拟合程度：{level}。",
    "story.train_loss": "训练损失",
    "story.train_accuracy": "训练准确率",
    "story.dev_accuracy": "验证准确率",
    "phase.span": "第 {first}–{last} 轮",
    "phase.epoch": "第 {first} 轮",
    "phase.start": "起步阶段（{span}）：验证准确率几乎不变，从 {dev_from:.3f} 到 {dev_to:.3f}。",
    "phase.rise": (
        "快速提升阶段（{span}）：验证准确率从 {dev_from:.3f} 提升到 {dev_to:.3f}（峰值）。"
    ),
    "phase.plateau": (
        "平稳阶段（{span}）：验证准确率与峰值相差不超过一个标准误，最后为 {dev_to:.3f}。"
    ),
    "phase.decline": "下降阶段（{span}）：验证准确率从 {dev_from:.3f} 降至 {dev_to:.3f}。",
    "phase.overfit": (
        "过拟合阶段（{span}）：验证准确率从 {dev_from:.3f} 降至 {dev_to:.3f}，而训练准确率从 "
        "{train_from:.3f} 升至 {train_to:.3f}。"
    ),
    "story.before": (
        "此前最好的是 {label}{values}，为 {value:.3f}；由此到本次为 {points:+.1f} 个百分点{told}。"
    ),
    "story.before_units": (
        "此前最好的是 {label}{values}，为 {value:.3f}；由此到本次为 {difference:+.3f}{told}。"
    ),
    "story.told_apart": "，差异显著",
    "story.not_told_apart": "，可能只是偶然",
    "story.first_try": "在它之前没有完成的实验。",
    "story.edge_low": "{name} 的取值 {value} 是试过的最小值，可以再小",
    "story.edge_high": "{name} 的取值 {value} 是试过的最大值，可以再大",
    "story.confirm": "用新的随机种子重新训练领先者（make confirm NAME={study}）",
    "story.suggest": "用 make suggest NAME={study} 生成下一次扫描",
    "story.steps": "{named}。",
}

TEXTS = _REPORT | _PAGE | _VERDICT
