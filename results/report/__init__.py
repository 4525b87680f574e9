"""The report of a study as HTML and Markdown, and the dashboard."""
