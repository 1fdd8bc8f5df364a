"""What every package uses: types, errors, keyed random numbers, files."""
