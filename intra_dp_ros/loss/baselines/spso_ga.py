"""SPSO-GA: which layers to offload, by a particle swarm with the operators of a genetic algorithm.

Chen et al., "Energy-Efficient Offloading for DNN-Based Smart IoT Systems in Cloud-Edge Environments", IEEE Trans.
Parallel and Distributed Systems, 2022: the least energy under a deadline.  A particle says for every layer where it
runs; inertia is a mutation, learning from its own and from the swarm's best is a crossover, and the inertia shrinks as
a particle comes to resemble the swarm's best.
"""
import numpy as np

from intra_dp_ros.loss.baselines import local
from intra_dp_ros.loss.baselines.dsccs import surgery
from intra_dp_ros.loss.baselines.layers import Layers
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import DEADLINE, Objective
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

DEADLINE_S = 1.0
_PARTICLES, _ROUNDS = 40, 60
_MOST, _LEAST = 0.9, 0.4  # inertia
_OWN, _SWARM = (0.9, 0.2), (0.4, 0.9)  # chances to learn from either best, in the first and in the last round


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", deadline_s: float = DEADLINE_S,
         power: PowerModel = PowerModel(), seed: int = 0) -> Plan:
    """The assignment of layers with the least energy of the robot among those that meet the deadline."""
    if link.up <= 0 or link.down <= 0:
        return local.plan(tiling, timeline, link, codec)
    layers = Layers(tiling, timeline, link, codec)
    return layers.plan(swarm(layers, Objective(DEADLINE, deadline_s=deadline_s), power, np.random.RandomState(seed)),
                       "spso_ga")


def swarm(layers: Layers, objective: Objective, power: PowerModel, random: np.random.RandomState) -> np.ndarray:
    """Which layers the server computes (layers,).

    The swarm begins with everything here, everything there and the cut with the least latency, so the deadline is met
    whenever one of these meets it.
    """
    count = len(layers.robot)
    people = random.uniform(size=(_PARTICLES, count)) < random.uniform(size=(_PARTICLES, 1))
    people[0], people[1], people[2] = False, True, surgery(layers)
    own, own_cost = people.copy(), fitness(layers, people, objective, power)
    for k in range(_ROUNDS):
        best = own[int(np.argmin(own_cost))]
        done = k / max(1, _ROUNDS - 1)
        differs = (people != best).mean(axis=1)
        inertia = _MOST - (_MOST - _LEAST) * np.exp(differs / (differs - 1.01))
        people = people ^ ((random.randint(count, size=(_PARTICLES, 1)) == np.arange(count))
                           & (random.uniform(size=_PARTICLES) < inertia)[:, None])
        for teacher, (first, last) in ((own, _OWN), (best[None], _SWARM)):
            begin, end = np.sort(random.randint(count + 1, size=(2, _PARTICLES, 1)), axis=0)
            learns = (random.uniform(size=(_PARTICLES, 1)) < first + (last - first) * done)
            part = (np.arange(count) >= begin) & (np.arange(count) < end) & learns
            people = np.where(part, teacher, people)
        cost = fitness(layers, people, objective, power)
        better = cost < own_cost
        own[better], own_cost[better] = people[better], cost[better]
    return own[int(np.argmin(own_cost))]


def fitness(layers: Layers, on_server: np.ndarray, objective: Objective, power: PowerModel) -> np.ndarray:
    """Cost of each particle (P,): energy, or how late it is; layers and transfers one after the other, as published."""
    robot, server, sent = layers.times(on_server)
    latency = robot + server + sent
    return objective.cost(latency, power.energy(robot, sent, latency))
