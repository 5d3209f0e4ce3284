"""What pages are made of: panels, lists of lines, and components of our own."""
