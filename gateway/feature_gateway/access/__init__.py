"""Who may call: identities, what each may read, and how much of it a second."""
