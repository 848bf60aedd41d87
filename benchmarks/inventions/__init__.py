"""Games that no recipe has, trained as a user would."""
