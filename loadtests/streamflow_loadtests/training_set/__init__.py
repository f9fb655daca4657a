"""What building a training set costs: `offline training-set`, Feast's own way and a hand-written join side by side."""
