"""The public Python API of Trytable."""
