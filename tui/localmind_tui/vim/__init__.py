"""The vim mode of the composer."""
