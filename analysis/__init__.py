"""What a trained model is worth, beside the exact answers."""
