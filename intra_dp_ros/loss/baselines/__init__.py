"""The published systems the scheduler is compared with, one file a system."""
