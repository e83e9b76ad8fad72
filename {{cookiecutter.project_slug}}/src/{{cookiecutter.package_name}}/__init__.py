"""Data to features to a registered model: one module per stage of dvc.yaml."""
