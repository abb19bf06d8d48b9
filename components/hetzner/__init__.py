"""Components on Hetzner Cloud: network, firewall, placement, hosts and their volumes, load balancer."""
