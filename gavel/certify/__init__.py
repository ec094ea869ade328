"""Every scalar function at all 2^32 words: the fast kernel against proven evaluations and MPFR."""
