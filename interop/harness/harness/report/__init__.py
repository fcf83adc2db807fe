"""The forms in which a run is shown: table, JSON, JUnit XML, picture, HTML, Markdown."""
