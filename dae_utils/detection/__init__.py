"""Detection: errors, thresholds with a guarantee, and detectors. Nothing here sees a label."""
