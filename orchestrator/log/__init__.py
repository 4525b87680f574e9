"""What a run writes to its orchestrator.log: the first thing that a bug report needs."""
