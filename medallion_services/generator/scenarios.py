"""Fraud as it happens, and honest behaviour that looks like it.

A scenario is a function (world, rng) -> steps; a step is (seconds after the start, event, is it fraud).
Near-misses are scenarios without fraud: rules that are only afraid of big numbers fall for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from fraud_domain.topics import ACCOUNT_EVENTS, TRANSACTIONS
from medallion_services.generator.purchases import Event, account_event, at_shop, online, pix, usual_amount
from medallion_services.generator.world import ABROAD, BANKS, Customer, World


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a scenario, or what was done to an account, `after` seconds from its start."""

    after: float
    event: Event
    fraud: bool
    topic: str = TRANSACTIONS


_METRO, _DURABLES = "4111", {"5311", "5732"}
_TRIES, _MUCH_PIX = 50, 0.38

Scenario = Callable[[World, Random], list[Step]]


def new_device(rng: Random) -> str:
    """A device that nobody has seen."""
    return f"x{rng.getrandbits(48):012x}"


def _mule_key(rng: Random) -> str:
    return f"mule-{rng.getrandbits(48):012x}"


def _large(rng: Random, customer: Customer, low: float, high: float) -> float:
    return round(customer.typical * rng.uniform(low, high), 2)


def card_testing(world: World, rng: Random) -> list[Step]:
    """Small attempts on a stolen card until one passes, then a large purchase."""
    victim, device = world.regular(rng), new_device(rng)
    shop = rng.choice(world.web)
    steps = []
    after = 0.0
    for number in range(rng.randrange(4, 7)):
        event = online(victim, shop, round(rng.uniform(1, 4.9), 2), device)
        event |= {"auth_3ds": False, "ip_address": "45.12.1.7"}
        if number in (1, 2):
            event |= {"status": "DECLINED", "decline_reason": "CVV_FAILURE", "cvv_result": "NO_MATCH"}
        steps.append(Step(after, event, True))
        after += rng.uniform(15, 60)
    event = online(victim, rng.choice(world.web), _large(rng, victim, 8, 15), device) | {"auth_3ds": False}
    return [*steps, Step(after + 60, event, True)]


def stolen_card_spree(world: World, rng: Random) -> list[Step]:
    """A lifted card, spent in shop after shop before it is blocked."""
    victim = world.regular(rng)
    shops = rng.sample(world.by_city[victim.home], 9)
    gaps = [rng.uniform(45, 110) for _ in range(rng.randrange(6, 9))]
    amounts = [max(_large(rng, victim, 3, 7), round(rng.uniform(260, 450), 2)) for _ in gaps]
    return [
        Step(sum(gaps[:n]), at_shop(victim, shops[n], amount, "CONTACTLESS"), True) for n, amount in enumerate(amounts)
    ]


def impossible_travel(world: World, rng: Random) -> list[Step]:
    """The customer pays at home; minutes later a clone of the card pays a thousand kilometres away."""
    victim = world.regular(rng)
    far = rng.choice(world.by_city[world.far_city(rng, victim.home)])
    honest = at_shop(victim, rng.choice(victim.shops), usual_amount(rng, victim))
    clone = at_shop(victim, far, _large(rng, victim, 2, 5), "MAGSTRIPE")
    return [Step(0, honest, False), Step(rng.uniform(900, 2400), clone, True)]


def account_takeover(world: World, rng: Random) -> list[Step]:
    """A new device logs in, changes the password, and empties the account to payees the customer never used."""
    victim, device = world.regular(rng), new_device(rng)
    prelude = ("LOGIN", "DEVICE_ADDED", "PASSWORD_CHANGED")
    took_over = [
        Step(n * 20.0, account_event(victim, action, device), True, ACCOUNT_EVENTS) for n, action in enumerate(prelude)
    ]
    return took_over + [
        Step(
            120 + n * rng.uniform(60, 200),
            pix(victim, max(_large(rng, victim, 9, 20), 600.0), _mule_key(rng), rng.choice(BANKS), device),
            True,
        )
        for n in range(rng.randrange(2, 4))
    ]


def compromised_terminal(world: World, rng: Random) -> list[Step]:
    """A skimmed terminal: honest payments there, copies of these cards elsewhere soon after."""
    city = rng.choice([c for c in world.by_city if c.country == "BR"])
    terminal = rng.choice(world.by_city[city])
    steps = []
    for _ in range(rng.randrange(3, 6)):
        victim = world.regular(rng)
        start = rng.uniform(0, 600)
        there = rng.choice(world.by_city[world.far_city(rng, city)])
        steps.append(Step(start, at_shop(victim, terminal, usual_amount(rng, victim)), False))
        for copy in range(2):
            copied = at_shop(victim, there, _large(rng, victim, 3, 6), "MAGSTRIPE")
            steps.append(Step(start + rng.uniform(1200, 2400) + copy * 240, copied, True))
    return sorted(steps, key=lambda step: step.after)


def online_high_value(world: World, rng: Random) -> list[Step]:
    """Card data from a leak: a large order from a new device, shipped to another state."""
    victim, device = world.regular(rng), new_device(rng)
    drop = world.far_city(rng, victim.home)
    event = online(victim, rng.choice(world.web), max(_large(rng, victim, 10, 25), 900.0), device)
    event |= {
        "mcc": "5732",
        "auth_3ds": False,
        "avs_result": "NO_MATCH",
        "shipping_state": drop.state,
        "shipping_latitude": drop.latitude,
        "shipping_longitude": drop.longitude,
    }
    wrong = event | {"status": "DECLINED", "decline_reason": "CVV_FAILURE", "cvv_result": "NO_MATCH"}
    return [Step(0, wrong, True), Step(rng.uniform(20, 90), event, True)]


def pix_scam(world: World, rng: Random) -> list[Step]:
    """The customer, who uses PIX a lot, is talked into sending their savings to a stranger, from their own phone."""
    victim, key = _pix_user(world, rng), _mule_key(rng)
    return [
        Step(n * 240.0, pix(victim, round(rng.uniform(10_500, 25_000), 2), key, rng.choice(BANKS)), True)
        for n in range(rng.randrange(1, 3))
    ]


def _pix_user(world: World, rng: Random) -> Customer:
    tried = (world.regular(rng) for _ in range(_TRIES))
    return next((customer for customer in tried if customer.uses_pix > _MUCH_PIX), world.regular(rng))


def refund_abuse(world: World, rng: Random) -> list[Step]:
    """A dishonest clerk pays refunds for sales that never were."""
    helper = world.regular(rng)
    shop = rng.choice(world.by_city[helper.home])
    return [
        Step(n * rng.uniform(120, 300), at_shop(helper, shop, -_large(rng, helper, 3, 8)), True)
        for n in range(rng.randrange(3, 5))
    ]


def billing_error(world: World, rng: Random) -> list[Step]:
    """The same sale is charged twice by mistake."""
    victim = world.regular(rng)
    shops = [shop for shop in victim.shops if shop.mcc != _METRO] or list(victim.shops)
    sale = at_shop(victim, rng.choice(shops), max(usual_amount(rng, victim), 25.0))
    return [Step(0, sale, False), Step(rng.uniform(40, 200), dict(sale), True)]


def real_trip(world: World, rng: Random) -> list[Step]:
    """Honest: a flight home to far away takes hours, then the customer shops there."""
    traveller, city = world.regular(rng), rng.choice(ABROAD)
    shop = rng.choice(world.by_city[city])
    before = at_shop(traveller, rng.choice(traveller.shops), usual_amount(rng, traveller))
    return [
        Step(0, before, False),
        Step(14 * 3600, at_shop(traveller, shop, usual_amount(rng, traveller)), False),
        Step(18 * 3600, at_shop(traveller, rng.choice(world.by_city[city]), usual_amount(rng, traveller)), False),
    ]


def real_big_purchase(world: World, rng: Random) -> list[Step]:
    """Honest: a washing machine, with chip and PIN, at a shop the customer knows."""
    buyer = world.regular(rng)
    shops = [shop for shop in buyer.shops if shop.mcc in _DURABLES] or list(buyer.shops)
    return [Step(0, at_shop(buyer, rng.choice(shops), min(_large(rng, buyer, 6, 12), 1_450.0)), False)]


def family_device(world: World, rng: Random) -> list[Step]:
    """Honest: three relatives shop on one tablet."""
    first = rng.randrange(max(world.regulars - 3, 1))
    family = [world.customer(first + n) for n in range(3)]
    return [
        Step(n * 180.0, online(member, rng.choice(member.web_shops), usual_amount(rng, member), f"f{first:07d}"), False)
        for n, member in enumerate(family)
    ]


def new_telephone(world: World, rng: Random) -> list[Step]:
    """Honest: a new telephone is registered, then the customer pays as ever."""
    owner, device = world.regular(rng), new_device(rng)
    steps = [
        Step(n * 30.0, account_event(owner, action, device), False, ACCOUNT_EVENTS)
        for n, action in enumerate(("LOGIN", "DEVICE_ADDED"))
    ]
    amount = usual_amount(rng, owner)
    return [*steps, Step(300.0, pix(owner, amount, rng.choice(owner.pix_keys), rng.choice(BANKS), device), False)]


def commuter(world: World, rng: Random) -> list[Step]:
    """Honest: four small contactless fares within minutes."""
    rider = world.regular(rng)
    stations = [m for m in world.by_city[rider.home] if m.mcc == _METRO] or list(rider.shops)
    return [Step(n * 150.0, at_shop(rider, rng.choice(stations), 5.2, "CONTACTLESS"), False) for n in range(4)]


FRAUDS: Mapping[str, Scenario] = {
    "card_testing": card_testing,
    "stolen_card_spree": stolen_card_spree,
    "impossible_travel": impossible_travel,
    "account_takeover": account_takeover,
    "compromised_terminal": compromised_terminal,
    "online_high_value": online_high_value,
    "pix_scam": pix_scam,
    "refund_abuse": refund_abuse,
    "billing_error": billing_error,
}
NEAR_MISSES: Mapping[str, Scenario] = {
    "real_trip": real_trip,
    "real_big_purchase": real_big_purchase,
    "family_device": family_device,
    "commuter": commuter,
    "new_telephone": new_telephone,
}
