"""From features to a judged, registered model, and its predictions."""
