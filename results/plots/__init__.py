"""The plots of a study: what each shows, then drawn by plotly and by matplotlib."""
