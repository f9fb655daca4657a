"""Month folders of sample data: users of any number, with the distributions of StreamFlow's observed data."""
