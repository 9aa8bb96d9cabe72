"""The documentation says what the code does: every parameter of a node is on its page, every link leads somewhere."""
import os
import re

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
#: Page -> the files whose parameters it lists; those of `startup` hold for all inference nodes and are on robot's page.
PAGES = {"robot": ("robot_node", "startup"), "server": ("server_node",),
         "bandwidth_monitor": ("bandwidth_monitor_node",), "dashboard": ("dashboard_node",),
         "kapao": ("kapao_node",), "completion": ("completion_node",)}
#: Read in other ways than by a whole name: families of names, and what dynamic_reconfigure reads.
OTHERS = {"power/compute", "power/transmit", "power/standby", "probe_rate", "origin_x", "origin_y", "origin_z"}


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def read_in(*names):
    """Parameters that these files read."""
    found = set()
    for name in names:
        found |= set(re.findall(r'"~([a-z_/]*[a-z])"', text_of("intra_dp_ros", "ros", name + ".py")))
    return found - {"get_status", "set_strategy"}


@pytest.mark.parametrize("page", PAGES)
def test_parameters_are_documented(page):
    text = text_of("docs", "nodes", page + ".md")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `~")]
    documented = {name for row in rows for name in re.findall(r"`~([a-z_/]+)`", row)}
    documented -= {"get_status", "set_strategy", "set_parameters"}
    missing = {name for name in read_in(*PAGES[page]) if "`~{}`".format(name) not in text}
    assert not missing, "{}.md does not say what these are: {}".format(page, missing)
    unknown = documented - read_in(*PAGES[page], "startup") - OTHERS
    assert not unknown, "{}.md documents what nobody reads: {}".format(page, unknown)


def pages():
    found = [("README.md",)]
    for folder, _, names in os.walk(os.path.join(ROOT, "docs")):
        found += [tuple(os.path.relpath(os.path.join(folder, name), ROOT).split(os.sep)) for name in names
                  if name.endswith(".md")]
    return sorted(found)


@pytest.mark.parametrize("path", pages(), ids="/".join)
def test_links_lead_somewhere(path):
    folder = os.path.join(ROOT, *path[:-1])
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(*path)):
        if "://" not in target:
            assert os.path.exists(os.path.join(folder, target)), "{} links to {}".format("/".join(path), target)


def test_the_example_in_the_text_is_the_example():
    code = text_of("docs", "examples", "best_class.py")
    assert code[code.index("from std_msgs"):].strip() in text_of("docs", "decoders.md")
