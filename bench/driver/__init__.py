"""The benchmark driver. The rows are in `rows/`; everything else here is what they share."""
