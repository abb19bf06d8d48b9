"""Pulumi components, one concept a file: they declare what the plan decided, and decide nothing."""
