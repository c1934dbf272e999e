"""A mail server that takes submissions, and what it and its people send back."""
