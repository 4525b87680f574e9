"""All pictures of a study."""

from results.judged import Judged, judge
from results.language import ENGLISH, Words
from results.pictures.cost import cost_picture
from results.pictures.curves import curves_picture, rates_picture
from results.pictures.parallel import parallel_picture
from results.pictures.parameters import importance_picture, parameter_pictures
from results.pictures.points import cast
from results.pictures.records import Picture
from results.pictures.timeline import ends_picture, slots_picture
from results.records import StudyResult


def pictures(
    study: StudyResult,
    words: Words = ENGLISH,
    judged: Judged | None = None,
) -> tuple[Picture, ...]:
    """The pictures in the report's order; those that would show nothing are left out.

    `judged` spares judging the study again.
    """
    judged = judged or judge(study, words.language)
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
