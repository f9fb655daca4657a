"""`offline grant`: PostgreSQL's roles, and what each may do."""
