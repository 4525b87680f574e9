"""The pictures of a study: what each shows, then drawn by plotly in the page, by matplotlib on
paper. A picture is made once, so both show the same numbers."""

from results.pictures.paper import write_pictures
from results.pictures.study import pictures

__all__ = ["pictures", "write_pictures"]
