"""Who lives in the synthetic world: cities, merchants, customers. Everything follows from the seed.

Customers are made when first met, so a world of a million costs nothing until they spend.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from fraud_domain.cards import TokenKey, luhn_valid, tokenise


@dataclass(frozen=True, slots=True)
class City:
    """A place; degrees north and east, and how many live there relative to the others."""

    name: str
    state: str
    latitude: float
    longitude: float
    timezone: str
    weight: int
    country: str = "BR"


CITIES = (
    City("São Paulo", "SP", -23.5505, -46.6333, "America/Sao_Paulo", 25),
    City("Rio de Janeiro", "RJ", -22.9068, -43.1729, "America/Sao_Paulo", 15),
    City("Belo Horizonte", "MG", -19.9167, -43.9345, "America/Sao_Paulo", 12),
    City("Salvador", "BA", -12.9777, -38.5016, "America/Bahia", 8),
    City("Fortaleza", "CE", -3.7319, -38.5267, "America/Fortaleza", 7),
    City("Curitiba", "PR", -25.4284, -49.2733, "America/Sao_Paulo", 7),
    City("Recife", "PE", -8.0476, -34.8770, "America/Recife", 6),
    City("Porto Alegre", "RS", -30.0346, -51.2177, "America/Sao_Paulo", 6),
    City("Brasília", "DF", -15.7975, -47.8919, "America/Sao_Paulo", 6),
    City("Manaus", "AM", -3.1190, -60.0217, "America/Manaus", 4),
    City("Belém", "PA", -1.4558, -48.4902, "America/Belem", 4),
)
ABROAD = (
    City("Lisbon", "Lisboa", 38.7223, -9.1393, "Europe/Lisbon", 1, "PT"),
    City("Miami", "FL", 25.7617, -80.1918, "America/New_York", 1, "US"),
    City("Buenos Aires", "BA", -34.6037, -58.3816, "America/Argentina/Buenos_Aires", 1, "AR"),
)

_TRADES = (
    ("5411", "Supermarket", 22), ("5812", "Restaurant", 16), ("5541", "Petrol", 12), ("5912", "Pharmacy", 12),
    ("5814", "Snack bar", 10), ("4121", "Taxi", 8), ("5311", "Department store", 6), ("5651", "Clothing", 6),
    ("5732", "Electronics", 4), ("4111", "Metro", 3), ("5944", "Jeweller", 1),
)  # fmt: skip
_SHOPS = (
    ("5732", "Electronics online", 5),
    ("5651", "Fashion online", 6),
    ("5815", "Streaming", 6),
    ("5942", "Books", 4),
)
_BRANDS = (("VISA", "4"), ("MASTERCARD", "51"), ("MASTERCARD", "55"), ("ELO", "65"))
BANKS = ("001", "033", "104", "237", "260", "341", "077", "290")


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who sells. `city` is None for one that sells online only."""

    merchant_id: str
    name: str
    mcc: str
    city: City | None
    terminals: tuple[str, ...]
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Customer:
    """Who pays, and what is usual for them. `typical` is the median spend in BRL, `spread` its log-sigma."""

    customer_id: str
    index: int
    home: City
    latitude: float
    longitude: float
    device_id: str
    ip_address: str
    card_token: str
    card_last4: str
    card_brand: str
    typical: float
    spread: float
    shops: tuple[Merchant, ...]
    web_shops: tuple[Merchant, ...]
    pix_keys: tuple[str, ...]
    uses_pix: float


def card_number(rng: Random) -> tuple[str, str]:
    """A made-up (brand, card number) that passes Luhn; it lives only until it is tokenised."""
    brand, prefix = rng.choice(_BRANDS)
    body = prefix + "".join(rng.choices("0123456789", k=15 - len(prefix)))
    return brand, next(body + digit for digit in "0123456789" if luhn_valid(body + digit))


class World:
    """The population. `regulars` are the customers with a past, from whom scenarios take their victims."""

    def __init__(self, seed: int, customers: int, regulars: int, key: TokenKey) -> None:
        self.seed = seed
        self.customers = customers
        self.regulars = min(regulars, customers)
        self._key = key
        rng = Random(f"{seed}:merchants")
        self.by_city = {city: self._city_merchants(rng, number, city) for number, city in enumerate(CITIES)}
        self.by_city |= {city: self._city_merchants(rng, 90 + n, city, 12) for n, city in enumerate(ABROAD)}
        self.web = tuple(
            Merchant(f"mw{n:04d}", f"{name} {n}", mcc, None, (), 0.0, 0.0)
            for n, (mcc, name) in enumerate(_weighted(rng, _SHOPS, 60))
        )
        self._weights = [city.weight for city in CITIES]
        self.customer = lru_cache(maxsize=100_000)(self._customer)

    def _city_merchants(self, rng: Random, number: int, city: City, count: int = 80) -> tuple[Merchant, ...]:
        return tuple(
            Merchant(
                f"m{number:02d}{n:04d}",
                f"{name} {city.name} {n}",
                mcc,
                city,
                tuple(f"t{number:02d}{n:04d}{k}" for k in range(3)),
                round(city.latitude + rng.gauss(0, 0.04), 5),
                round(city.longitude + rng.gauss(0, 0.04), 5),
            )
            for n, (mcc, name) in enumerate(_weighted(rng, _TRADES, count))
        )

    def _customer(self, index: int) -> Customer:
        rng = Random(f"{self.seed}:customer:{index}")
        home = rng.choices(CITIES, self._weights)[0]
        brand, number = card_number(rng)
        token, last4 = tokenise(number, self._key)
        return Customer(
            customer_id=f"c{index:07d}",
            index=index,
            home=home,
            latitude=round(home.latitude + rng.gauss(0, 0.05), 5),
            longitude=round(home.longitude + rng.gauss(0, 0.05), 5),
            device_id=f"d{index:07d}",
            ip_address=f"177.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            card_token=token,
            card_last4=last4,
            card_brand=brand,
            typical=math.exp(rng.gauss(math.log(70), 0.5)),
            spread=rng.uniform(0.3, 0.45),
            shops=tuple(rng.sample(self.by_city[home], 8)),
            web_shops=tuple(rng.sample(self.web, 3)),
            pix_keys=tuple(f"pix-{index:07d}-{k}" for k in range(4)),
            uses_pix=rng.uniform(0.1, 0.45),
        )

    def regular(self, rng: Random) -> Customer:
        """A customer with a past."""
        return self.customer(rng.randrange(self.regulars))

    def anybody(self, rng: Random) -> Customer:
        """Any customer."""
        return self.customer(rng.randrange(self.customers))

    def far_city(self, rng: Random, home: City) -> City:
        """A city at least 1,000 km or so from home."""
        far = [c for c in CITIES if abs(c.latitude - home.latitude) + abs(c.longitude - home.longitude) > 12]
        return rng.choice(far or [c for c in CITIES if c is not home])


def _weighted(rng: Random, kinds: tuple[tuple[str, str, int], ...], count: int) -> list[tuple[str, str]]:
    return [(mcc, name) for mcc, name, _ in rng.choices(kinds, [weight for _, _, weight in kinds], k=count)]
