"""The catalogues of texts, one module a language."""
