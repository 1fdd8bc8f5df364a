"""A folder of images becomes samples, classes and splits."""
