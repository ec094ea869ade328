"""One dispute as a page that a person can read without gavel."""
