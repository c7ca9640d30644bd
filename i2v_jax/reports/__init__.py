"""The page that shows what a trained model does, and the measurements on it."""
