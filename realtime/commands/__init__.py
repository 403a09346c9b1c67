"""The commands of ``tonewatch``, a module each: the flags of each beside what it does with them."""
