"""A run or a comparison as one HTML file: `report.py` writes it, each page has its own module."""
