"""The front door: text in a dialect becomes a Plan."""
