"""Builds the model: backbone, head, adapters, frozen layers and their cached states."""
