"""From measured music to a report: what is asked, figures, tests, one JSON, one table and one page."""
