"""Builds the model: backbone, head, adapters, and frozen layers with their cached states."""
