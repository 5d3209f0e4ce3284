"""The table of keys that pages share: `table_data` says what it shows, `tree_table` draws it."""
