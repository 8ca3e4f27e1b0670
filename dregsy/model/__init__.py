"""The nouns of the house: frozen dataclasses and pure functions, no input or output."""
