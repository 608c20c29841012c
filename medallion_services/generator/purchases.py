"""Ordinary transactions: what a customer does on a usual day. Amounts in BRL, events as contract dicts."""

from random import Random
from typing import Any

from medallion_services.generator.world import BANKS, Customer, Merchant

Event = dict[str, Any]
"""A transaction of the contract without id and time, which the timeline gives it."""

DECLINE_SHARE = 0.03
_LARGEST_USUAL = 2.2
"""Ordinary spend stays below this multiple of the customer's median, so that an outlier means something."""


def usual_amount(rng: Random, customer: Customer) -> float:
    """An amount as this customer spends it, rounded to cents."""
    return round(customer.typical * min(rng.lognormvariate(0, customer.spread), _LARGEST_USUAL), 2)


def _base(customer: Customer, amount: float, type_: str, channel: str) -> Event:
    return {
        "customer_id": customer.customer_id,
        "amount": amount,
        "currency": "BRL",
        "type": type_,
        "channel": channel,
        "status": "APPROVED",
        "home_country": customer.home.country,
        "billing_country": customer.home.country,
        "billing_state": customer.home.state,
        "billing_latitude": customer.latitude,
        "billing_longitude": customer.longitude,
        "customer_timezone": customer.home.timezone,
        "schema_version": 1,
    }


def _card(event: Event, customer: Customer, entry_mode: str) -> Event:
    event |= {
        "card_token": customer.card_token,
        "card_last4": customer.card_last4,
        "card_brand": customer.card_brand,
        "entry_mode": entry_mode,
    }
    return event


def at_shop(
    customer: Customer, merchant: Merchant, amount: float, entry_mode: str = "CHIP", terminal: int = 0
) -> Event:
    """A card payment at a counter."""
    event = _card(_base(customer, amount, "CREDIT_CARD", "POS"), customer, entry_mode)
    event |= {
        "merchant_id": merchant.merchant_id,
        "merchant_name": merchant.name,
        "mcc": merchant.mcc,
        "merchant_country": merchant.city.country if merchant.city else "BR",
        "terminal_id": merchant.terminals[terminal % len(merchant.terminals)],
        "latitude": merchant.latitude,
        "longitude": merchant.longitude,
        "pin_result": "MATCH" if entry_mode == "CHIP" else "NOT_CHECKED",
        "installments": 1,
    }
    return event


def online(customer: Customer, merchant: Merchant, amount: float, device: str | None = None) -> Event:
    """A card payment on the web, shipped home."""
    event = _card(_base(customer, amount, "CREDIT_CARD", "ECOMMERCE"), customer, "ECOMMERCE")
    event |= {
        "merchant_id": merchant.merchant_id,
        "merchant_name": merchant.name,
        "mcc": merchant.mcc,
        "merchant_country": "BR",
        "device_id": device or customer.device_id,
        "ip_address": customer.ip_address,
        "ip_country": "BR",
        "cvv_result": "MATCH",
        "avs_result": "MATCH",
        "auth_3ds": True,
        "installments": 1,
        "shipping_country": customer.home.country,
        "shipping_state": customer.home.state,
        "shipping_latitude": customer.latitude,
        "shipping_longitude": customer.longitude,
    }
    return event


def pix(customer: Customer, amount: float, key: str, bank: str, device: str | None = None) -> Event:
    """An instant transfer from the phone."""
    event = _base(customer, amount, "PIX", "MOBILE_APP")
    event |= {
        "device_id": device or customer.device_id,
        "ip_address": customer.ip_address,
        "ip_country": "BR",
        "pix_key_type": "RANDOM",
        "pix_key": key,
        "destination_bank": bank,
    }
    return event


def cash(customer: Customer, merchant: Merchant, amount: float) -> Event:
    """Notes from a cash machine near a shop the customer knows."""
    event = at_shop(customer, merchant, amount)
    event |= {"type": "WITHDRAWAL", "channel": "ATM", "mcc": "6011", "merchant_name": f"ATM near {merchant.name}"}
    return event


def account_event(customer: Customer, action: str, device: str | None = None) -> Event:
    """Something done to the account from the app; an account event of the contract without id and time."""
    return {
        "customer_id": customer.customer_id,
        "action": action,
        "channel": "MOBILE_APP",
        "device_id": device or customer.device_id,
        "ip_address": customer.ip_address,
        "ip_country": "BR",
    }


def ordinary(rng: Random, customer: Customer) -> Event:
    """One usual transaction."""
    dice = rng.random()
    amount = usual_amount(rng, customer)
    if dice < customer.uses_pix:
        event = pix(customer, amount, rng.choice(customer.pix_keys), rng.choice(BANKS))
    elif dice < customer.uses_pix + 0.15:
        event = online(customer, rng.choice(customer.web_shops), amount)
        event["auth_3ds"] = rng.random() < 0.8
    elif dice < customer.uses_pix + 0.18:
        event = cash(customer, customer.shops[0], float(rng.choice((50, 100, 150, 200))))
    else:
        mode = "CONTACTLESS" if amount < 200 and rng.random() < 0.4 else "CHIP"
        event = at_shop(customer, rng.choice(customer.shops), amount, mode, rng.randrange(3))
    if rng.random() < DECLINE_SHARE:
        event |= {"status": "DECLINED", "decline_reason": "INSUFFICIENT_FUNDS"}
    return event
