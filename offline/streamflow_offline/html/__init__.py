"""Reports as pages: one file each, without a script and without a reference to another host."""

from streamflow_offline.html.page import Section, Table, html_page
from streamflow_offline.html.plots import bars, histograms, lines
from streamflow_offline.html.writing import refuse_html, write_html

__all__ = ["Section", "Table", "bars", "histograms", "html_page", "lines", "refuse_html", "write_html"]
