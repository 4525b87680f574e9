"""What people read on the report's page and in its pictures, in Chinese."""

TEXTS: dict[str, str] = {
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
    "picture.told": "{told}，{what}",
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
    "picture.attempt": "{told}，第 {attempt} 次启动：{outcome}，历时 {seconds} 秒",
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
