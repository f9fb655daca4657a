"""What the feature servers change in Feast's own `feast serve`."""
