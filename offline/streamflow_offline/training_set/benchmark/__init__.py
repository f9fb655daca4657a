"""What building training sets costs, beside Feast's own way and beside a hand-written join."""
