"""The small command line: from a bare machine to a running stack, and what one wants to know of it afterwards."""
