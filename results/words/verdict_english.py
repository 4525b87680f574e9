"""What people read of how tries compare and of how the best one went, in English."""

TEXTS: dict[str, str] = {
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
