"""What differs where the data are images."""
