"""The methods, one per file; each is a system of the table `models.registry.COMPRESSIONS`."""
