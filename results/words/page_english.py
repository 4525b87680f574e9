"""What people read on the report's page and in its pictures, in English."""

TEXTS: dict[str, str] = {
    "status.retried": "retried",
    "status.unfinished": "unfinished",
    "page.title": "{study} – Try table",
    "page.dark": "Dark",
    "page.tries": "Try table",
    "page.tries.caption": (
        "Accuracies are shares. Train accuracy is that of a fixed sample of the training data, "
        "without dropout, at the best epoch; the gap is train minus dev. Trained is the share of "
        "the model's parameters that were trained. Tries that did not complete stand apart, with "
        "their best so far. Blanks are values that never came. A click on a heading sorts."
    ),
    "page.findings": "Findings",
    "page.findings.caption": "What the curves and events of each try show, gravest first.",
    "page.count.one": "{count} try",
    "page.count.other": "{count} tries",
    "page.why": "Why it matters",
    "page.next": "What to try next",
    "page.try": "try",
    "page.seen": "seen",
    "page.attempt": "attempt",
    "page.outcome": "outcome",
    "page.message": "message",
    "page.failures": "Attempts that failed",
    "page.parameters": "Parameters against {objective}",
    "page.parameters.intervals": "Bars are 95 % intervals (Wilson) of the dev accuracy.",
    "page.parameters.hover": "95 % intervals stand in the hover text: so many would cover all.",
    "page.cost.what": "spent on",
    "page.cost.wall": "worker seconds",
    "page.cost.device": "device seconds",
    "page.cost.total": "in all",
    "page.cost.point": (
        "{seconds} device seconds for each point of dev accuracy that the best try is above the "
        "baseline."
    ),
    "page.settings": "Requested and effective settings",
    "page.settings.caption": (
        "Effective is what the worker read back from live objects. A difference is marked with ≠."
    ),
    "page.settings.setting": "setting",
    "page.settings.requested": "requested",
    "page.settings.effective": "effective",
    "page.settings.differ.one": "≠ {count} differs",
    "page.settings.differ.other": "≠ {count} differ",
    "page.settings.same": "no difference",
    "page.facts": "What was swept, and on what",
    "picture.told": "{told}, {what}",
    "picture.epoch": "epoch",
    "picture.step": "optimizer step",
    "picture.rate": "learning rate",
    "picture.train": "train accuracy",
    "picture.best_epoch": "best epoch",
    "picture.baseline": "{name} (baseline)",
    "picture.others": "other completed tries",
    "picture.not_completed": "not completed",
    "picture.best_tenth": "best tenth",
    "picture.so_far": "not completed: best so far",
    "picture.best_of": "best {objective}",
    "picture.share": "share of the importance",
    "picture.low": "low",
    "picture.high": "high",
    "picture.last_epoch": "last epoch",
    "picture.hours": "hours since the first start",
    "picture.minutes": "minutes since the first start",
    "picture.wall_seconds": "worker seconds",
    "picture.saved": "saved by ending early",
    "picture.attempt": "{told}, attempt {attempt}: {outcome} after {seconds} s",
    "picture.thinned": (
        "Of {count} such lines {shown} are drawn, evenly by rank; the numbers of all stand in the "
        "table."
    ),
    "picture.curves": "Curves",
    "picture.curves.caption": (
        "Solid: the objective; dashed: train accuracy. Ring: best epoch. The best tries and the "
        "baseline have a colour, the others are grey; a cross ends a try that did not complete."
    ),
    "picture.rates": "Learning rate as it was",
    "picture.rates.caption": (
        "Read from the optimizer at each logged step; the first group of weights where groups have "
        "rates of their own. Tries with the same course are drawn once."
    ),
    "picture.importances": "Parameter importances",
    "picture.importances.caption": (
        "PED-ANOVA over {count} completed tries: which parameters set the better tries apart, "
        "within the ranges that were swept."
    ),
    "picture.parallel": "All parameters side by side",
    "picture.parallel.caption": (
        "A line is a try. Each axis runs from the lowest to the highest value that is named below "
        "it; the last is the best {objective}."
    ),
    "picture.ends": "Where each try ended",
    "picture.ends.caption": (
        "The height is the last epoch that was evaluated, the mark tells why it was the last."
    ),
    "picture.slots": "What ran where and when",
    "picture.slots.caption": "A bar is an attempt on its slot.",
    "picture.slots.cut.one": "{count} long pause in which nothing ran is left out.",
    "picture.slots.cut.other": "{count} long pauses in which nothing ran are left out.",
    "picture.cost": "Cost",
    "picture.cost.caption": (
        "Seconds that workers ran, by what became of their attempts. What ending early saved is "
        "an estimate: the epochs that were not run, at each try's own seconds an epoch."
    ),
}
