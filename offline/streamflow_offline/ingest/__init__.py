"""Month folders into PostgreSQL: every file is checked before anything is written, a month is written as a whole."""
