"""The Try table and the table of pairs, and the formats that they are written in."""
