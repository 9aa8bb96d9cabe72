"""torchvision's detectors with results of a fixed size, so that they can be recorded to their end."""
