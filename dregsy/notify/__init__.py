"""Tells people and programs how tasks ended, by webhooks and mail; how that goes never touches the copying."""
