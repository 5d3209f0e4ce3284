"""Parts of the Compare page: its charts, its table, a pair looked at closely, a run, the report."""
