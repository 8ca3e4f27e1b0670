"""The relays of the house. A relay moves one image; dregsy.relay says what it must do.

To add one: a module here or in a package of your own, with a class that follows ``dregsy.relay.Relay``,
and an entry point in the group ``dregsy.relays.v1``.
"""
