"""All plots of a study, in the order of the report."""

from trytable.results.analysis.types import Analysis
from trytable.results.plots.cost import cost_plot
from trytable.results.plots.curves import curves_plot, rates_plot
from trytable.results.plots.highlights import highlight_trials
from trytable.results.plots.parallel import parallel_plot
from trytable.results.plots.parameters import importance_plot, parameter_plots
from trytable.results.plots.timeline import ends_plot, slots_plot
from trytable.results.plots.types import Plot
from trytable.results.storage.study import StudyResult
from trytable.results.text.catalog import ENGLISH, Words


def study_plots(study: StudyResult, analysis: Analysis, words: Words = ENGLISH) -> tuple[Plot, ...]:
    """Return the plots in the order of the report, without those that would be empty."""
    highlights = highlight_trials(study)
    plots = (
        curves_plot(highlights, words),
        rates_plot(highlights, words),
        *parameter_plots(highlights, analysis.comparison, words),
        parallel_plot(highlights, words),
        importance_plot(highlights, words),
        ends_plot(highlights, words),
        slots_plot(highlights, words),
        cost_plot(analysis.cost, words),
    )
    return tuple(plot for plot in plots if plot is not None)
