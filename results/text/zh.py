"""The texts of reports in Chinese."""

_REPORT = {
    "list.comma": "、",
    "list.semicolon": "；",
    "sentence.end": "。",
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
    "table.note": "{study} 实验表",
    "table.more": "另有 {count} 次未列出。",
    "findings.mark": "{kind}（{severity}）",
    "findings.next": "下一步建议：{advice}。",
    "state.baseline": "{status}（基线）",
    "state.reason": "{state}：{reason}",
    "state.attempts": "{state}，共运行 {count} 次",
    "summary.empty": "尚未开始任何实验。",
    "summary.counts.one": "共 {count} 次实验：{named}。",
    "summary.counts.other": "共 {count} 次实验：{named}。",
    "summary.counted": "{count} 次{status}",
    "summary.values": "（{values}）",
    "summary.after": "（第 {epoch} 轮）",
    "summary.best": "最佳实验为 {label}{values}，{objective}为 {value}{after}。",
    "summary.best_is_baseline": (
        "最佳实验为 {label}{values}，{objective}为 {value}{after}，即基线本身。"
    ),
    "summary.best_and_baseline": (
        "最佳实验为 {label}{values}，{objective}为 {value}{after}；基线 {baseline} 为 {reached}。"
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
    "report.failures": "失败的运行",
}

_PAGE = {
    "status.retried": "已重试",
    "status.unfinished": "未结束",
    "page.title": "{study} – 实验表",
    "page.dark": "深色",
    "page.tries": "实验表",
    "page.tries.caption": (
        "准确率取值在 0 与 1 之间。训练准确率在训练集的固定样本上测得，关闭随机失活，取峰值轮次；"
        "差值为训练减验证。可训练比例指参与训练的参数占模型全部参数的比例。未完成的实验排在最后，"
        "显示目前的最好结果。空白表示未测量、未检验或未显示。点击表头可排序。"
    ),
    "page.findings": "诊断",
    "page.findings.caption": "根据每次实验的曲线和事件得出，最严重的排在最前。",
    "page.count.one": "{count} 次实验",
    "page.count.other": "{count} 次实验",
    "page.why": "为什么重要",
    "page.next": "下一步建议",
    "page.try": "实验",
    "page.seen": "现象",
    "page.attempt": "运行次序",
    "page.outcome": "结果",
    "page.message": "信息",
    "page.failures": "失败的运行",
    "page.parameters": "参数与{objective}",
    "page.parameters.intervals": "竖线为验证准确率的 95% 置信区间（Wilson 法）。",
    "page.parameters.hover": "点数过多，95% 置信区间请见悬停提示。",
    "page.cost.what": "用途",
    "page.cost.wall": "进程耗时（秒）",
    "page.cost.device": "设备耗时（秒）",
    "page.cost.total": "合计",
    "page.cost.point": "最佳实验的验证准确率比基线每高一个百分点，占用设备 {seconds} 秒。",
    "page.settings": "设定值与实际值",
    "page.settings.caption": "实际值由训练进程从运行中的对象读回。≠ 表示不一致。",
    "page.settings.setting": "设置",
    "page.settings.requested": "设定值",
    "page.settings.effective": "实际值",
    "page.settings.differ.one": "≠ {count} 处不一致",
    "page.settings.differ.other": "≠ {count} 处不一致",
    "page.settings.same": "全部一致",
    "page.facts": "扫描设置、数据与环境",
    "plot.hover": "{hover}，{what}",
    "plot.epoch": "轮次",
    "plot.step": "优化步数",
    "plot.rate": "学习率",
    "plot.train": "训练准确率",
    "plot.best_epoch": "峰值轮次",
    "plot.baseline": "{name}（基线）",
    "plot.others": "其他完成的实验",
    "plot.not_completed": "未完成",
    "plot.best_tenth": "最好的十分之一",
    "plot.so_far": "未完成：目前最好",
    "plot.best_of": "最佳{objective}",
    "plot.share": "重要性份额",
    "plot.low": "低",
    "plot.high": "高",
    "plot.last_epoch": "最后一轮",
    "plot.hours": "距首次启动的小时数",
    "plot.minutes": "距首次启动的分钟数",
    "plot.wall_seconds": "进程耗时（秒）",
    "plot.saved": "提前结束所节省",
    "plot.attempt": "{hover}，第 {attempt} 次运行：{outcome}，历时 {seconds} 秒",
    "plot.thinned": "此类曲线共 {count} 条，按名次均匀选取 {shown} 条绘出；全部数值见实验表。",
    "plot.curves": "训练曲线",
    "plot.curves.caption": (
        "实线为目标指标，虚线为训练准确率。圆圈标出峰值轮次，叉号标出未完成实验的终点。"
        "最好的几次实验和基线用彩色，其余为灰色。"
    ),
    "plot.rates": "实际学习率",
    "plot.rates.caption": (
        "在每个记录步从优化器读取；若各参数组的学习率不同，取第一组。变化过程相同的实验只画一条。"
    ),
    "plot.importances": "参数重要性",
    "plot.importances.caption": (
        "对 {count} 次完成的实验做 PED-ANOVA：在扫描范围内，"
        "每个参数对区分较好实验与其他实验的贡献。"
    ),
    "plot.parallel": "全部参数的平行坐标图",
    "plot.parallel.caption": (
        "每条线代表一次实验。每条轴从最低值到最高值，两端的值标在轴下方；"
        "最后一条轴为最佳{objective}。"
    ),
    "plot.ends": "各次实验的结束位置",
    "plot.ends.caption": "高度为最后一次评估的轮次，记号表示结束方式。",
    "plot.slots": "运行时间与槽位",
    "plot.slots.caption": "每个横条是某个槽位上的一次运行。",
    "plot.slots.cut.one": "省略了 {count} 段没有运行的长时间停顿。",
    "plot.slots.cut.other": "省略了 {count} 段没有运行的长时间停顿。",
    "plot.cost": "成本",
    "plot.cost.caption": (
        "训练进程的运行秒数，按运行结果分类。提前结束所节省的时间为估计值："
        "未运行的轮次乘以该实验每轮的秒数。"
    ),
}

_VERDICT = {
    "list.and": "{first} 和 {last}",
    "list.more": "{named} 等，另有 {count} 次",
    "verdict.interval": (
        "最佳实验验证准确率的 95% 区间为 {low:.3f} 至 {high:.3f}（Wilson 法，{examples} 条样本）。"
    ),
    "verdict.same": (
        "最佳实验与 {named} 没有显著差异（对验证集预测做精确 McNemar 检验，"
        "按 {tested} 次比较做 Holm 校正，显著性水平 5%）。"
    ),
    "verdict.alone": (
        "最佳实验与其余 {tested} 次实验均有显著差异（对验证集预测做精确 McNemar 检验并做 Holm 校"
        "正，显著性水平 5%）。"
    ),
    "verdict.untested": "最佳实验未能与其他实验做检验：{why}。",
    "verdict.baseline_apart": (
        "它与基线 {label} 相差 {points:+.1f} 个百分点（95% 自助法区间 {low:+.1f} 至 {high:+.1f}，"
        "校正后 p = {p}），差异显著。"
    ),
    "verdict.baseline_same": (
        "它与基线 {label} 相差 {points:+.1f} 个百分点（95% 自助法区间 {low:+.1f} 至 {high:+.1f}，"
        "校正后 p = {p}），可能只是偶然。"
    ),
    "verdict.early.one": "{count} 次实验提前结束，只在相同轮次上比较。",
    "verdict.early.other": "{count} 次实验提前结束，只在相同轮次上比较。",
    "verdict.cost": "全部实验共占用设备 {device} 秒。",
    "verdict.saved": "提前结束估计节省了 {saved} 秒。",
    "verdict.per_point": "验证准确率每比基线高一个百分点，占用设备 {seconds} 秒。",
    "verdict.unconfirmed": (
        "{count} 次实验中的最好成绩带有运气成分：可运行 make confirm NAME={study}，"
        "用新的随机种子重新训练领先的实验。"
    ),
    "confirmed.mean": (
        "{label} 在 {count} 个新种子上的均值为 {mean:.3f}（95% t 区间 {low:.3f} 至 {high:.3f}）。"
    ),
    "confirmed.mean_alone": "{label} 在一个新种子上达到 {mean:.3f}。",
    "confirmed.baseline": (
        "在 {count} 个共同种子上，{label} 与基线相差 {difference:+.3f}（95% t 区间 {low:+.3f} 至 "
        "{high:+.3f}{p}）。"
    ),
    "confirmed.p": "；配对 t 检验，校正后 p = {p}",
    "confirmed.optimism": (
        "搜索中的最佳实验 {label} 为 {found:.3f}，新种子上为 {mean:.3f}；"
        "搜索结果偏差 {points:+.1f} 个百分点。"
    ),
    "confirmed.expected": (
        "仅由噪声造成，{draws} 次同样好的实验中最好的一次看上去就会高出 {points:.1f} 个百分点（种"
        "子间标准差 {deviation:.1f} 个百分点）。"
    ),
    "confirmed.optimism_units": (
        "搜索中的最佳实验 {label} 为 {found:.3f}，新种子上为 {mean:.3f}；"
        "搜索结果偏差 {difference:+.3f}。"
    ),
    "confirmed.expected_units": (
        "仅由噪声造成，{draws} 次同样好的实验中最好的一次看上去就会好 {difference:.3f}（种子间标"
        "准差 {deviation:.3f}）。"
    ),
    "confirmed.title": "新种子上的结果",
    "missing.itself": "即该实验本身",
    "missing.not_completed": "未完成训练",
    "missing.no_predictions": "没有保存预测",
    "missing.no_gold": "验证集没有标注",
    "missing.other_size": "预测数量与验证样本数不符",
    "missing.no_other": "没有可比较的实验",
    "missing.other_untold": "对比的实验没有保存预测",
    "pairs.title": "各次实验与最佳和基线的比较",
    "pairs.caption": (
        "同一批样本上的验证准确率之差，附 95% 自助法区间和精确 McNemar 检验；p 值用 Holm 方法校正。"
    ),
    "pairs.more": "另有 {count} 次，见 {file}。",
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
    "story.earlier": "与此前实验的对比",
    "story.next": "下一步建议",
    "story.part": "{title}：",
    "story.difference": "{name} {value}（基线为 {baseline}）",
    "story.differs": "{label} 采用 {named}，其余与基线相同。",
    "story.is_baseline": "{label} 就是基线：没有任何改动优于它。",
    "story.settings": "{label} 的配置为 {values}。",
    "story.first_peak_last": "{what}：初始 {first}，峰值 {peak}（第 {epoch} 轮），最终 {last}。",
    "story.first_last": "{what}：从 {first} 到 {last}。",
    "story.gap": "峰值轮次的训练准确率为 {train:.3f}，与验证准确率之差为 {gap:+.3f}。",
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
        "过拟合阶段（{span}）：验证准确率从 {dev_from:.3f} 降至 {dev_to:.3f}，"
        "而训练准确率从 {train_from:.3f} 升至 {train_to:.3f}。"
    ),
    "story.before": (
        "此前最好的实验是 {label}{values}，为 {value:.3f}；"
        "本次与之相差 {points:+.1f} 个百分点{told}。"
    ),
    "story.before_units": (
        "此前最好的实验是 {label}{values}，为 {value:.3f}；本次与之相差 {difference:+.3f}{told}。"
    ),
    "story.told_apart": "，差异显著",
    "story.not_told_apart": "，可能只是偶然",
    "story.first_try": "此前没有完成的实验。",
    "story.edge_low": "参数 {name} 的取值 {value} 是试过的最小值，可尝试更小的值",
    "story.edge_high": "参数 {name} 的取值 {value} 是试过的最大值，可尝试更大的值",
    "story.confirm": "用新的随机种子重新训练领先的实验（make confirm NAME={study}）",
    "story.suggest": "生成下一次扫描（make suggest NAME={study}）",
    "story.steps": "{named}。",
}

TEXTS = _REPORT | _PAGE | _VERDICT
