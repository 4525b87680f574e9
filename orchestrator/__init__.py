"""Who runs it: the study, the trial state machine, slots, workers, recovery."""
