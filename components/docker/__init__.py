"""Components on a Docker engine: the edge, a service's network, services, stateful services, the routing."""
