"""`correct`: see the masks of `suggest` with their doubt in a browser, and mend them."""
