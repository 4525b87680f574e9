"""All pictures of a study."""

from trytable.results.analysis.analysis import Analysis, analyze
from trytable.results.plots.cost import cost_picture
from trytable.results.plots.curves import curves_picture, rates_picture
from trytable.results.plots.highlights import cast
from trytable.results.plots.parallel import parallel_picture
from trytable.results.plots.parameters import importance_picture, parameter_pictures
from trytable.results.plots.timeline import ends_picture, slots_picture
from trytable.results.plots.types import Picture
from trytable.results.storage.study import StudyResult
from trytable.results.text.catalog import ENGLISH, Words


def pictures(
    study: StudyResult,
    words: Words = ENGLISH,
    judged: Analysis | None = None,
) -> tuple[Picture, ...]:
    """The pictures in the report's order; those that would show nothing are left out.

    `judged` spares judging the study again.
    """
    judged = judged or analyze(study, words.language)
    drawn = cast(study)
    found = (
        curves_picture(drawn, words),
        rates_picture(drawn, words),
        *parameter_pictures(drawn, judged.comparison, words),
        parallel_picture(drawn, words),
        importance_picture(drawn, words),
        ends_picture(drawn, words),
        slots_picture(drawn, words),
        cost_picture(judged.cost, words),
    )
    return tuple(picture for picture in found if picture is not None)
