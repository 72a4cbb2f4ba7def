"""What is kept: database, models, migrations, secrets, and the queries on them."""
