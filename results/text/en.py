"""The texts of reports in English."""

_REPORT = {
    "list.comma": ", ",
    "list.semicolon": "; ",
    "sentence.end": ".",
    "sentence.gap": " ",
    "try.baseline": "baseline",
    "objective.dev_accuracy": "dev accuracy",
    "objective.dev_macro_f1": "dev macro F1",
    "objective.dev_loss": "dev loss",
    "status.waiting": "waiting",
    "status.running": "running",
    "status.drained": "drained",
    "status.completed": "completed",
    "status.pruned": "pruned",
    "status.stopped": "stopped",
    "status.failed": "failed",
    "severity.info": "info",
    "severity.warning": "warning",
    "severity.error": "error",
    "level.none": "none",
    "level.slight": "slight",
    "level.moderate": "moderate",
    "level.severe": "severe",
    "table.try": "try",
    "table.parameter": "parameter {name}",
    "table.note": "Try table of {study}",
    "table.more": "and {count} more.",
    "findings.mark": "{kind} ({severity})",
    "findings.next": "What to try next: {advice}.",
    "state.baseline": "{status} (baseline)",
    "state.reason": "{state}: {reason}",
    "state.attempts": "{state}, {count} attempts",
    "summary.empty": "No try has started yet.",
    "summary.counts.one": "{count} try: {named}.",
    "summary.counts.other": "{count} tries: {named}.",
    "summary.counted": "{count} {status}",
    "summary.values": " ({values})",
    "summary.after": " after epoch {epoch}",
    "summary.best": "The best try is {label}{values} with {objective} {value}{after}.",
    "summary.best_is_baseline": (
        "The best try is {label}{values} with {objective} {value}{after}; it is the baseline "
        "itself."
    ),
    "summary.best_and_baseline": (
        "The best try is {label}{values} with {objective} {value}{after}; the baseline, "
        "{baseline}, reached {reached}."
    ),
    "facts.swept": "Swept",
    "facts.baseline": "Baseline",
    "facts.sampler": "Sampler",
    "facts.pruner": "Pruner",
    "facts.trainer": "Trainer",
    "facts.model": "Model",
    "facts.data": "Data",
    "facts.sizes": "Sizes",
    "facts.classes": "Classes",
    "facts.seed": "Seed",
    "facts.machines": "Ran on",
    "facts.versions": "Versions",
    "facts.note": "Note",
    "facts.range": "{low} to {high}",
    "facts.log_range": "{low} to {high}, log",
    "facts.threads.one": "{count} thread",
    "facts.threads.other": "{count} threads",
    "report.title": "Sweep {study}",
    "report.tries": "Tries",
    "report.facts": "Facts",
    "report.findings": "Findings",
    "report.failures": "Failed attempts",
}

_PAGE = {
    "status.retried": "retried",
    "status.unfinished": "unfinished",
    "page.title": "{study} – Try table",
    "page.dark": "Dark",
    "page.tries": "Try table",
    "page.tries.caption": (
        "Accuracies are shares between 0 and 1. Train accuracy is measured without dropout on a "
        "fixed sample of the training data, at the best epoch; the gap is train minus dev "
        "accuracy. Trained is the share of the model's parameters that were trained. Tries that "
        "did not complete are listed last, with their best value so far. An empty cell is a "
        "value that was not measured, not tested or not shown. Click a heading to sort."
    ),
    "page.findings": "Findings",
    "page.findings.caption": "What the curves and events of each try show, most severe first.",
    "page.count.one": "{count} try",
    "page.count.other": "{count} tries",
    "page.why": "Why it matters",
    "page.next": "What to try next",
    "page.try": "try",
    "page.seen": "observation",
    "page.attempt": "attempt",
    "page.outcome": "outcome",
    "page.message": "message",
    "page.failures": "Failed attempts",
    "page.parameters": "Parameters against {objective}",
    "page.parameters.intervals": "Bars are 95% Wilson intervals of the dev accuracy.",
    "page.parameters.hover": "The 95% intervals are in the hover text: so many bars would overlap.",
    "page.cost.what": "spent on",
    "page.cost.wall": "worker seconds",
    "page.cost.device": "device seconds",
    "page.cost.total": "total",
    "page.cost.point": (
        "Each point of dev accuracy by which the best try exceeds the baseline cost {seconds} "
        "device seconds."
    ),
    "page.settings": "Requested and effective settings",
    "page.settings.caption": (
        "The effective value is what the worker read back from its live objects. ≠ marks a "
        "difference."
    ),
    "page.settings.setting": "setting",
    "page.settings.requested": "requested",
    "page.settings.effective": "effective",
    "page.settings.differ.one": "≠ {count} differs",
    "page.settings.differ.other": "≠ {count} differ",
    "page.settings.same": "no difference",
    "page.facts": "Sweep, data and machines",
    "plot.hover": "{hover}, {what}",
    "plot.epoch": "epoch",
    "plot.step": "optimizer step",
    "plot.rate": "learning rate",
    "plot.train": "train accuracy",
    "plot.best_epoch": "best epoch",
    "plot.baseline": "{name} (baseline)",
    "plot.others": "other completed tries",
    "plot.not_completed": "not completed",
    "plot.best_tenth": "best tenth",
    "plot.so_far": "not completed: best so far",
    "plot.best_of": "best {objective}",
    "plot.share": "share of the importance",
    "plot.low": "low",
    "plot.high": "high",
    "plot.last_epoch": "last epoch",
    "plot.hours": "hours since the first start",
    "plot.minutes": "minutes since the first start",
    "plot.wall_seconds": "worker seconds",
    "plot.saved": "saved by ending early",
    "plot.attempt": "{hover}, attempt {attempt}: {outcome} after {seconds} s",
    "plot.thinned": (
        "Only {shown} of these {count} lines are drawn, evenly spaced by rank; the Try table has "
        "the values of all."
    ),
    "plot.curves": "Curves",
    "plot.curves.caption": (
        "Solid lines: the objective; dashed lines: train accuracy. A ring marks the best epoch, "
        "a cross the end of a try that did not complete. The best tries and the baseline are "
        "coloured, the others are grey."
    ),
    "plot.rates": "Learning rate during training",
    "plot.rates.caption": (
        "Read from the optimizer at each logged step; if groups of weights have different rates, "
        "that of the first group. Tries with the same schedule are drawn once."
    ),
    "plot.importances": "Parameter importances",
    "plot.importances.caption": (
        "PED-ANOVA over {count} completed tries: how much each parameter distinguishes the "
        "better tries from the others, within the swept ranges."
    ),
    "plot.parallel": "Parallel coordinates of all parameters",
    "plot.parallel.caption": (
        "Each line is a try. Each axis runs from the lowest to the highest value, both printed "
        "below it; the last axis is the best {objective}."
    ),
    "plot.ends": "Where each try ended",
    "plot.ends.caption": (
        "The height is the last evaluated epoch; the mark shows how the try ended."
    ),
    "plot.slots": "What ran where and when",
    "plot.slots.caption": "Each bar is an attempt on its slot.",
    "plot.slots.cut.one": "{count} long pause without attempts is left out.",
    "plot.slots.cut.other": "{count} long pauses without attempts are left out.",
    "plot.cost": "Cost",
    "plot.cost.caption": (
        "Seconds that workers ran, by the outcome of their attempts. The time saved by ending "
        "early is an estimate: the epochs that were not run, at each try's own seconds per epoch."
    ),
}

_VERDICT = {
    "list.and": "{first} and {last}",
    "list.more": "{named} and {count} more",
    "verdict.interval": (
        "The dev accuracy of the best try has a 95% interval of {low:.3f} to {high:.3f} (Wilson, "
        "{examples} dev examples)."
    ),
    "verdict.same": (
        "The best try does not differ significantly from {named} (exact McNemar tests on the dev "
        "predictions, Holm-corrected for {tested} tries, at 5%)."
    ),
    "verdict.alone": (
        "The best try differs significantly from each of the {tested} other tries (exact McNemar "
        "tests on the dev predictions, Holm-corrected, at 5%)."
    ),
    "verdict.untested": "The best try was not tested against others: {why}.",
    "verdict.baseline_apart": (
        "Its difference to the baseline, {label}, is {points:+.1f} points (95% bootstrap "
        "interval {low:+.1f} to {high:+.1f}; corrected p = {p}) and significant."
    ),
    "verdict.baseline_same": (
        "Its difference to the baseline, {label}, is {points:+.1f} points (95% bootstrap "
        "interval {low:+.1f} to {high:+.1f}; corrected p = {p}) and may be chance."
    ),
    "verdict.early.one": "{count} try ended early and is compared at equal epochs only.",
    "verdict.early.other": "{count} tries ended early and are compared at equal epochs only.",
    "verdict.cost": "All tries together took {device} device seconds.",
    "verdict.saved": "Ending tries early saved an estimated {saved} seconds.",
    "verdict.per_point": (
        "Each point of dev accuracy above the baseline cost {seconds} device seconds."
    ),
    "verdict.unconfirmed": (
        "The best of {count} tries is partly luck: make confirm NAME={study} trains the leaders "
        "again on fresh seeds."
    ),
    "confirmed.mean": (
        "Over {count} fresh seeds, {label} has a mean of {mean:.3f} (95% t interval {low:.3f} to "
        "{high:.3f})."
    ),
    "confirmed.mean_alone": "{label} reached {mean:.3f} on one fresh seed.",
    "confirmed.baseline": (
        "Over {count} shared seeds, {label} differs from the baseline by {difference:+.3f} (95% "
        "t interval {low:+.3f} to {high:+.3f}{p})."
    ),
    "confirmed.p": "; paired t test, corrected p = {p}",
    "confirmed.optimism": (
        "In the search the winner, {label}, had {found:.3f}; fresh seeds gave {mean:.3f}. The "
        "search was off by {points:+.1f} points."
    ),
    "confirmed.expected": (
        "By noise alone, the best of {draws} equally good tries would look {points:.1f} points "
        "better than it is (standard deviation over seeds: {deviation:.1f} points)."
    ),
    "confirmed.optimism_units": (
        "In the search the winner, {label}, had {found:.3f}; fresh seeds gave {mean:.3f}. The "
        "search was off by {difference:+.3f}."
    ),
    "confirmed.expected_units": (
        "By noise alone, the best of {draws} equally good tries would look {difference:.3f} "
        "better than it is (standard deviation over seeds: {deviation:.3f})."
    ),
    "confirmed.title": "On fresh seeds",
    "missing.itself": "it is the same try",
    "missing.not_completed": "it did not complete",
    "missing.no_predictions": "no predictions are stored",
    "missing.no_gold": "dev has no gold labels",
    "missing.other_size": "the numbers of predictions and of dev examples differ",
    "missing.no_other": "there is no such try",
    "missing.other_untold": "the other try has no stored predictions",
    "pairs.title": "Every try compared with the best and the baseline",
    "pairs.caption": (
        "Differences in dev accuracy on the same examples, with 95% bootstrap intervals and "
        "exact McNemar tests; p is corrected with Holm's method."
    ),
    "pairs.more": "{count} more in {file}.",
    "pairs.best_difference": "vs best",
    "pairs.best_low": "low",
    "pairs.best_high": "high",
    "pairs.best_p": "p",
    "pairs.best_corrected": "p corrected",
    "pairs.best_reason": "no test because",
    "pairs.baseline_difference": "vs {against}",
    "pairs.baseline_low": "baseline low",
    "pairs.baseline_high": "baseline high",
    "pairs.baseline_p": "baseline p",
    "pairs.baseline_corrected": "baseline p corrected",
    "pairs.baseline_reason": "no baseline test because",
    "story.title": "How {label} went",
    "story.changed": "What was changed",
    "story.figures": "Key figures",
    "story.phases": "Phases",
    "story.earlier": "Compared with earlier tries",
    "story.next": "Next steps",
    "story.part": "{title}.",
    "story.difference": "{name} {value} instead of {baseline}",
    "story.differs": "{label} has {named}; everything else is as in the baseline.",
    "story.is_baseline": "{label} is the baseline itself; no change improved on it.",
    "story.settings": "{label} was trained with {values}.",
    "story.first_peak_last": (
        "{what} started at {first}, was best at {peak} (epoch {epoch}) and ended at {last}."
    ),
    "story.first_last": "{what} went from {first} to {last}.",
    "story.gap": (
        "At the best epoch, train accuracy was {train:.3f}, a gap of {gap:+.3f} to dev accuracy."
    ),
    "story.overfit": "Overfitting: {level}.",
    "story.train_loss": "Train loss",
    "story.train_accuracy": "Train accuracy",
    "story.dev_accuracy": "Dev accuracy",
    "phase.span": "epochs {first} to {last}",
    "phase.epoch": "epoch {first}",
    "phase.start": (
        "Start ({span}): dev accuracy hardly changed, from {dev_from:.3f} to {dev_to:.3f}."
    ),
    "phase.rise": (
        "Rise ({span}): dev accuracy rose from {dev_from:.3f} to its peak of {dev_to:.3f}."
    ),
    "phase.plateau": (
        "Plateau ({span}): dev accuracy stayed within one standard error of its peak and ended "
        "at {dev_to:.3f}."
    ),
    "phase.decline": "Decline ({span}): dev accuracy fell from {dev_from:.3f} to {dev_to:.3f}.",
    "phase.overfit": (
        "Overfitting ({span}): dev accuracy fell from {dev_from:.3f} to {dev_to:.3f} while train "
        "accuracy rose from {train_from:.3f} to {train_to:.3f}."
    ),
    "story.before": (
        "The best earlier try was {label}{values} with {value:.3f}; this one differs from it by "
        "{points:+.1f} points{told}."
    ),
    "story.before_units": (
        "The best earlier try was {label}{values} with {value:.3f}; this one differs from it by "
        "{difference:+.3f}{told}."
    ),
    "story.told_apart": ", a significant difference",
    "story.not_told_apart": ", which may be chance",
    "story.first_try": "No earlier try completed.",
    "story.edge_low": "its {name}, {value}, is the lowest value tried: search below it",
    "story.edge_high": "its {name}, {value}, is the highest value tried: search above it",
    "story.confirm": "train the leaders again on fresh seeds (make confirm NAME={study})",
    "story.suggest": "generate the next sweep (make suggest NAME={study})",
    "story.steps": "{named}.",
}

TEXTS = _REPORT | _PAGE | _VERDICT
