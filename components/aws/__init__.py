"""Components on AWS: network, cluster, pool, balancers, security groups, registry, files, secrets, services."""
