"""The newsletter itself: its items as data, joined with what our runs found; search, exports and a static site."""
