"""What tables and pictures have room for of a model's and a trace's name."""
import re


def model_name(text: str) -> str:
    """Of ``[SOURCE:]NAME[@SHAPE]`` the name."""
    return text.partition("@")[0].rpartition(":")[2]


def trace_name(label: str) -> str:
    """Of a trace's label (`traces.open_trace`): recorded is the rule, what was made or slowed is said."""
    for found, words in ((r" \(recorded\)", ""), (r" \(made[^)]*\)", " (made)"),
                         (r", slowed (\S+) x in time and bandwidth", r", \1 x slower")):
        label = re.sub(found, words, label)
    return label
