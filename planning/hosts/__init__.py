"""Decisions about a fleet of Docker hosts: which there are, what runs where, who reaches whom, how hosts are set up."""
