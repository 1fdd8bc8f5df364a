"""How data folders are laid out: which files are images, which masks, and of which split."""
