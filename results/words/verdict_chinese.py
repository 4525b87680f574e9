"""What people read of how tries compare and of how the best one went, in Chinese."""

TEXTS: dict[str, str] = {
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
