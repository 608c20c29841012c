"""Fraud that no single customer's history shows: many victims, one merchant, device or terminal."""

from random import Random

from medallion_services.generator.purchases import at_shop, online
from medallion_services.generator.scenarios import Scenario, Step, new_device
from medallion_services.generator.world import World

_TESTED_CARDS = range(15, 21)
_FARMED_CARDS = range(5, 8)


def merchant_testing(world: World, rng: Random) -> list[Step]:
    """A robot tries a list of stolen cards at one web shop, each once, for about one real."""
    shop = rng.choice(world.web)
    steps, after = [], 0.0
    for number in range(rng.choice(_TESTED_CARDS)):
        event = online(world.regular(rng), shop, round(rng.uniform(0.9, 1.9), 2), new_device(rng))
        event |= {"auth_3ds": False}
        if number % 5:
            event |= {"status": "DECLINED", "decline_reason": "DO_NOT_HONOR"}
        steps.append(Step(after, event, True))
        after += rng.uniform(4, 14)
    return steps


def device_farm(world: World, rng: Random) -> list[Step]:
    """One telephone pays in turn with the cards of several victims, modest sums."""
    device, after, steps = new_device(rng), 0.0, []
    for _ in range(rng.choice(_FARMED_CARDS)):
        victim = world.regular(rng)
        event = online(victim, rng.choice(world.web), round(victim.typical * rng.uniform(0.5, 1.2), 2), device)
        steps.append(Step(after, event | {"auth_3ds": False}, True))
        after += rng.uniform(120, 600)
    return steps


def cash_out_terminal(world: World, rng: Random) -> list[Step]:
    """A shop in league with the thieves: cloned cards are charged there, and again after the first complaints."""
    city = rng.choice([city for city in world.by_city if city.country == "BR"])
    shop = rng.choice(world.by_city[city])
    steps, after = [], 0.0
    for number in range(rng.randrange(5, 8)):
        victim = world.regular(rng)
        event = at_shop(victim, shop, round(victim.typical * rng.uniform(0.8, 1.6), 2), "MAGSTRIPE")
        steps.append(Step(after, event, True))
        after += rng.uniform(60, 180) if number != 2 else rng.uniform(900, 1500)
    return steps


GANGS: dict[str, Scenario] = {
    "merchant_testing": merchant_testing,
    "device_farm": device_farm,
    "cash_out_terminal": cash_out_terminal,
}
