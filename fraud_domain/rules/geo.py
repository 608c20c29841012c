"""Distance on the globe in whole kilometres: exact enough for any rule, and the same in every evaluator."""

from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_KM = 6371.0088
MINIMUM_TRAVEL_US = 60_000_000
"""Two readings closer than a minute are judged as a minute apart: clocks of terminals differ by seconds."""
_HOUR_US = 3_600_000_000


def haversine_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Great-circle distance in kilometres between two points in degrees."""
    phi, to_phi = radians(latitude), radians(to_latitude)
    half_phi, half_lambda = sin((to_phi - phi) / 2), sin(radians(to_longitude - longitude) / 2)
    chord = half_phi * half_phi + cos(phi) * cos(to_phi) * half_lambda * half_lambda
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))


def distance_km(
    latitude: float | None, longitude: float | None, to_latitude: float | None, to_longitude: float | None
) -> int | None:
    """Whole kilometres between two points, or None when a coordinate is missing."""
    if latitude is None or longitude is None or to_latitude is None or to_longitude is None:
        return None
    return round(haversine_km(latitude, longitude, to_latitude, to_longitude))


def speed_kmh(
    latitude: float | None,
    longitude: float | None,
    to_latitude: float | None,
    to_longitude: float | None,
    elapsed_us: int,
) -> int | None:
    """Whole km/h needed to travel between two points in `elapsed_us` microseconds (at least a minute)."""
    if latitude is None or longitude is None or to_latitude is None or to_longitude is None:
        return None
    kilometres = haversine_km(latitude, longitude, to_latitude, to_longitude)
    return round(kilometres * _HOUR_US / max(elapsed_us, MINIMUM_TRAVEL_US))
