"""What a person writes: frozen pydantic models, one concept a file. Only `settings.load` touches `pulumi.Config`."""
