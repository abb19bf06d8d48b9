"""Planning for AWS: what is decided before anything is asked of it."""
