"""Local operator parallelism: which rows of which operator each side computes, and how."""
