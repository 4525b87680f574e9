"""What people read of how tries compare and of how the best one went, in English."""

_REPORT = {
    "list.comma": ", ",
    "list.semicolon": "; ",
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
    "table.epochs_run": "epochs run",
    "table.best_value": "best {objective}",
    "table.best_dev_accuracy": "best dev acc",
    "table.best_epoch": "at epoch",
    "table.last_dev_accuracy": "last dev acc",
    "table.train_accuracy": "train acc",
    "table.test_accuracy": "test acc",
    "table.gap": "gap",
    "table.delta": "vs {against}",
    "table.trained": "trained",
    "table.seconds": "seconds",
    "table.findings": "findings",
    "table.state": "state",
    "table.interval_low": "95% low",
    "table.interval_high": "95% high",
    "table.confirmed_mean": "confirmed mean",
    "table.confirmed_low": "confirmed low",
    "table.confirmed_high": "confirmed high",
    "table.confirmed_seeds": "seeds",
    "table.p_best": "p vs best",
    "table.group": "group",
    "table.stars": "stars",
    "table.equal_best": "vs best at its epoch",
    "table.equal_baseline": "vs {against} at its epoch",
    "table.device_seconds": "device seconds",
    "table.note": "Try table of {study}",
    "table.more": "and {count} more.",
    "findings.mark": "{kind} ({severity})",
    "state.baseline": "{status} (baseline)",
    "state.reason": "{state}: {reason}",
    "state.attempts": "{state}, {count} attempts",
    "summary.empty": "No try has started yet.",
    "summary.counts.one": "{count} try: {named}.",
    "summary.counts.other": "{count} tries: {named}.",
    "summary.counted": "{count} {status}",
    "summary.values": " ({values})",
    "summary.after": " after epoch {epoch}",
    "summary.best": "Best is {label}{values} with {objective} {value}{after}.",
    "summary.best_is_baseline": (
        "Best is {label}{values} with {objective} {value}{after}; it is the baseline."
    ),
    "summary.best_and_baseline": (
        "Best is {label}{values} with {objective} {value}{after}; the baseline, {baseline}, "
        "reached {reached}."
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
    "report.failures": "Attempts that failed",
}


_PAGE = {
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
    "picture.hover": "{hover}, {what}",
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
    "picture.attempt": "{hover}, attempt {attempt}: {outcome} after {seconds} s",
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


_VERDICT = {
    "list.and": "{first} and {last}",
    "list.more": "{named} and {count} more",
    "verdict.interval": (
        "Its 95% interval is {low:.3f} to {high:.3f} (Wilson, {examples} dev examples)."
    ),
    "verdict.same": (
        "{named} cannot be told apart from it: exact McNemar tests on the dev predictions, "
        "corrected for {tested} tries (Holm), at 5%."
    ),
    "verdict.alone": (
        "Each of the {tested} other tries is told apart from it: exact McNemar tests on the dev "
        "predictions, corrected (Holm), at 5%."
    ),
    "verdict.untested": "No test compares it with others: {why}.",
    "verdict.baseline_apart": (
        "Against the baseline, {label}, it is {points:+.1f} points (95% bootstrap interval "
        "{low:+.1f} to {high:+.1f}; corrected p = {p}): told apart."
    ),
    "verdict.baseline_same": (
        "Against the baseline, {label}, it is {points:+.1f} points (95% bootstrap interval "
        "{low:+.1f} to {high:+.1f}; corrected p = {p}): that may be chance."
    ),
    "verdict.early.one": "{count} try ended early and is compared at equal epochs only.",
    "verdict.early.other": "{count} tries ended early and are compared at equal epochs only.",
    "verdict.cost": "All tries took {device} device seconds.",
    "verdict.saved": "Epochs that were never run would have taken {saved} more seconds.",
    "verdict.per_point": (
        "Each point of dev accuracy above the baseline cost {seconds} device seconds."
    ),
    "verdict.unconfirmed": (
        "Whoever takes the best of {count} tries takes its luck, too: make confirm NAME={study} "
        "trains the leaders again on fresh seeds."
    ),
    "confirmed.mean": (
        "Over {count} fresh seeds {label} has a mean of {mean:.3f} (95% t interval {low:.3f} to "
        "{high:.3f})."
    ),
    "confirmed.mean_alone": "On one fresh seed {label} has {mean:.3f}.",
    "confirmed.baseline": (
        "{label} against the baseline over {count} shared seeds: {difference:+.3f} (95% t interval "
        "{low:+.3f} to {high:+.3f}{p})."
    ),
    "confirmed.p": "; paired t test, corrected p = {p}",
    "confirmed.optimism": (
        "The search found {found:.3f} for its winner, {label}; fresh seeds gave {mean:.3f}. The "
        "search was too hopeful by {points:+.1f} points."
    ),
    "confirmed.expected": (
        "By noise alone the best of {draws} equal tries would look {points:.1f} points better than "
        "it is (standard deviation over seeds {deviation:.1f} points)."
    ),
    "confirmed.optimism_units": (
        "The search found {found:.3f} for its winner, {label}; fresh seeds gave {mean:.3f}. The "
        "search was too hopeful by {difference:+.3f}."
    ),
    "confirmed.expected_units": (
        "By noise alone the best of {draws} equal tries would look {difference:.3f} better than it "
        "is (standard deviation over seeds {deviation:.3f})."
    ),
    "confirmed.title": "On fresh seeds",
    "missing.itself": "it is the other one itself",
    "missing.not_completed": "it did not complete",
    "missing.no_predictions": "no predictions are stored",
    "missing.no_gold": "dev has no gold labels",
    "missing.other_size": "its predictions are not as many as the dev examples",
    "missing.no_other": "there is no such try",
    "missing.other_untold": "the other one has no stored predictions",
    "pairs.title": "Every try against the best and the baseline",
    "pairs.caption": (
        "Differences of dev accuracy on the same examples, with 95% bootstrap intervals and exact "
        "McNemar tests; p corrected is Holm's."
    ),
    "pairs.more": "{count} more stand in {file}.",
    "pairs.best_difference": "vs best",
    "pairs.best_low": "low",
    "pairs.best_high": "high",
    "pairs.best_p": "p",
    "pairs.best_corrected": "p corrected",
    "pairs.best_reason": "no test, since",
    "pairs.baseline_difference": "vs {against}",
    "pairs.baseline_low": "baseline low",
    "pairs.baseline_high": "baseline high",
    "pairs.baseline_p": "baseline p",
    "pairs.baseline_corrected": "baseline p corrected",
    "pairs.baseline_reason": "no baseline test, since",
    "story.title": "How {label} went",
    "story.changed": "What was changed",
    "story.figures": "Key figures",
    "story.phases": "Phases",
    "story.earlier": "Against the other tries",
    "story.next": "What to do next",
    "story.part": "{title}.",
    "story.difference": "{name} {value} instead of {baseline}",
    "story.differs": "{label} has {named}; all else is the baseline's.",
    "story.is_baseline": "{label} is the baseline itself: no change was better.",
    "story.settings": "{label} was trained with {values}.",
    "story.first_peak_last": (
        "{what} began at {first}, was best with {peak} (epoch {epoch}) and ended at {last}."
    ),
    "story.first_last": "{what} went from {first} to {last}.",
    "story.gap": "At the best epoch train accuracy was {train:.3f}, a gap of {gap:+.3f}.",
    "story.overfit": "Overfitting: {level}.",
    "story.train_loss": "Train loss",
    "story.train_accuracy": "Train accuracy",
    "story.dev_accuracy": "Dev accuracy",
    "phase.span": "epochs {first} to {last}",
    "phase.epoch": "epoch {first}",
    "phase.start": (
        "Start ({span}): dev accuracy hardly moved, from {dev_from:.3f} to {dev_to:.3f}."
    ),
    "phase.rise": (
        "Rise ({span}): dev accuracy went from {dev_from:.3f} to its peak of {dev_to:.3f}."
    ),
    "phase.plateau": (
        "Plateau ({span}): dev accuracy stayed within a standard error of its peak, at the end "
        "{dev_to:.3f}."
    ),
    "phase.decline": ("Decline ({span}): dev accuracy fell from {dev_from:.3f} to {dev_to:.3f}."),
    "phase.overfit": (
        "Overfitting ({span}): dev accuracy fell from {dev_from:.3f} to {dev_to:.3f} while train "
        "accuracy rose from {train_from:.3f} to {train_to:.3f}."
    ),
    "story.before": (
        "The best of the tries before it was {label}{values} with {value:.3f}; "
        "from there to here it is {points:+.1f} points{told}."
    ),
    "story.before_units": (
        "The best of the tries before it was {label}{values} with {value:.3f}; "
        "from there to here it is {difference:+.3f}{told}."
    ),
    "story.told_apart": ", told apart",
    "story.not_told_apart": ", which may be chance",
    "story.first_try": "No try before it completed.",
    "story.edge_low": "its {name}, {value}, is the lowest that was tried: go below",
    "story.edge_high": "its {name}, {value}, is the highest that was tried: go beyond",
    "story.confirm": "train the leaders again on fresh seeds (make confirm NAME={study})",
    "story.suggest": "let make suggest NAME={study} write the next sweep",
    "story.steps": "{named}.",
}

TEXTS = _REPORT | _PAGE | _VERDICT
