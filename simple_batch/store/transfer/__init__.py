"""All rows of one database into another (``flask copy-db``)."""
