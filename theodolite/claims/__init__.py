"""One short file per item: arms, seeds, metric, margin, verdict, figure."""
