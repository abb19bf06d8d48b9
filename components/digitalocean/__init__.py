"""Components on DigitalOcean: the network, the firewall and the droplets of a burst."""
