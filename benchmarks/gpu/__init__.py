"""`make gpu-check`: shows on one GPU what no CPU can show, and rehearses the rest on a CPU."""
