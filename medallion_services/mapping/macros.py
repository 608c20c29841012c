"""SQL macros for what files write in many ways: money, dates, times.

A macro gives the one spelling of the contract, or a mark: a text that starts with `MARK`, a reason code, and
the value. Marks travel through the query as text and refuse their row at the end, so one bad cell never
stops a file.
"""

from medallion_services.mapping.model import Amounts

MARK = "\x01"
_GROUP = r"[ \x{a0}\x{202f}'\x{2019}]"
_POINT = r"^([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]{1,4})?$"
_COMMA = r"^([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]{1,4})?$"
_AMBIGUOUS = r"^[1-9][0-9]{0,2}[.,][0-9]{3}$"
_TIME = r"([ T]+[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
_DAY_MONTH = r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}" + _TIME
_SHORT_YEAR = r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2}" + _TIME
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" + _TIME
_OFFSET = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})$"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def macros(timezone: str | None, amounts: Amounts) -> list[str]:
    """The statements that define the macros `money`, `day_first`, `month_first`, `iso`, `epoch_s`, `epoch_ms`.

    Args:
        timezone: zone of times without an offset; None refuses them.
        amounts: how money is written.
    """
    return [
        f"CREATE MACRO refused_as(code, x) AS {_literal(MARK)} || code || {_literal(MARK)} || CAST(x AS VARCHAR)",
        *_money(amounts),
        *_times(timezone),
    ]


def _money(amounts: Amounts) -> list[str]:
    point = "replace(b, ',', '')"
    comma = "replace(replace(b, '.', ''), ',', '.')"
    match amounts:
        case Amounts.POINT:
            cases = f"WHEN regexp_matches(b, {_literal(_POINT)}) THEN {point}"
        case Amounts.COMMA:
            cases = f"WHEN regexp_matches(b, {_literal(_COMMA)}) THEN {comma}"
        case _:
            cases = (
                f"WHEN regexp_matches(b, {_literal(_AMBIGUOUS)}) THEN refused_as('AMBIGUOUS_AMOUNT', x) "
                f"WHEN regexp_matches(b, {_literal(_POINT)}) THEN {point} "
            )
            other = comma if amounts is Amounts.MIXED else "refused_as('AMBIGUOUS_AMOUNT', x)"
            cases += f"WHEN regexp_matches(b, {_literal(_COMMA)}) THEN {other}"
    symbol = r"(^(-?)[ ]*(\p{Sc}|[A-Z]{1,3}\p{Sc}|[A-Z]{3})[ ]*)|([ ]*(\p{Sc}|[A-Z]{3})$)"
    grouped = rf"([0-9]){_GROUP}([0-9]{{3}})"
    group = f"regexp_replace(regexp_replace(t, {_literal(grouped)}, '\\1\\2', 'g'), {_literal(grouped)}, '\\1\\2', 'g')"
    bare = f"regexp_replace({group}, {_literal(symbol)}, '\\2', 'g')"
    return [
        # Text, without the parentheses of an accountant; then digits and separators, without sign.
        "CREATE MACRO money_text(x) AS replace(trim(CAST(x AS VARCHAR)), chr(8722), '-')",
        "CREATE MACRO money_negative(t) AS "
        "regexp_matches(t, '^\\(.*\\)$') OR regexp_matches(t, '^[^0-9]*-[^0-9]*[0-9]') OR regexp_matches(t, '[0-9]-$')",
        f"CREATE MACRO money_bare(t) AS {bare}",
        "CREATE MACRO money_body(t) AS regexp_replace(money_bare(regexp_replace(regexp_replace(t, "
        "'^\\((.*)\\)$', '\\1'), '^-[ ]*|-$', '')), '^[-+][ ]*', '')",
        f"CREATE MACRO money_digits(b, x) AS CASE {cases} ELSE refused_as('BAD_AMOUNT', x) END",
        "CREATE MACRO money(x) AS CASE WHEN x IS NULL THEN NULL "
        "WHEN length(regexp_replace(money_text(x), '[^-(]', '', 'g')) > 1 THEN refused_as('BAD_AMOUNT', x) "
        "WHEN money_negative(money_text(x)) AND NOT starts_with(money_digits(money_body(money_text(x)), x), chr(1)) "
        "THEN '-' || money_digits(money_body(money_text(x)), x) "
        "ELSE money_digits(money_body(money_text(x)), x) END",
    ]


def _times(timezone: str | None) -> list[str]:
    shape = "'%Y-%m-%dT%H:%M:%S.%fZ'"
    if timezone is None:
        naive = "refused_as('NO_TIME_ZONE', x)"
    else:
        zone = _literal(timezone)
        utc = f"timezone({zone}, w)"
        twice = f"timezone({zone}, {utc} + INTERVAL 1 HOUR) = w OR timezone({zone}, {utc} - INTERVAL 1 HOUR) = w"
        naive = (
            f"CASE WHEN timezone({zone}, {utc}) <> w THEN refused_as('IMPOSSIBLE_TIME', x) "
            f"WHEN {twice} THEN refused_as('AMBIGUOUS_TIME', x) "
            f"ELSE strftime(timezone('UTC', {utc}), {shape}) END"
        )
    parse = "try_strptime(regexp_replace(replace(t, '/', '-'), '[ T]+', ' '), ["
    clock = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")

    def formats(date: str) -> str:
        return ", ".join(_literal(date + part) for part in clock)

    dotted = "regexp_replace(t, '^([0-9]+)[./]([0-9]+)[./]([0-9]+)', '\\1-\\2-\\3')"
    statements = [
        f"CREATE MACRO naive_time(w, x) AS CASE WHEN w IS NULL THEN refused_as('IMPOSSIBLE_TIME', x) ELSE {naive} END",
        f"CREATE MACRO instant(w, x) AS CASE WHEN w IS NULL THEN refused_as('IMPOSSIBLE_TIME', x) "
        f"ELSE strftime(timezone('UTC', w), {shape}) END",
    ]
    for name, date in (("day_first", "%d-%m-%Y"), ("month_first", "%m-%d-%Y")):
        parsed = parse.replace("replace(t, '/', '-')", dotted) + formats(date) + "])"
        statements += [
            f"CREATE MACRO {name}_parsed(t) AS {parsed}",
            f"CREATE MACRO {name}(x) AS CASE WHEN x IS NULL THEN NULL "
            f"WHEN regexp_matches(trim(CAST(x AS VARCHAR)), {_literal(_DAY_MONTH)}) "
            f"THEN naive_time({name}_parsed(trim(CAST(x AS VARCHAR))), x) "
            f"WHEN regexp_matches(trim(CAST(x AS VARCHAR)), {_literal(_SHORT_YEAR)}) "
            f"THEN refused_as('AMBIGUOUS_TIME', x) ELSE refused_as('BAD_TIME', x) END",
        ]
    return [
        *statements,
        f"CREATE MACRO iso_parsed(t) AS {parse}{formats('%Y-%m-%d')}])",
        f"CREATE MACRO iso(x) AS CASE WHEN x IS NULL THEN NULL "
        f"WHEN regexp_matches(trim(CAST(x AS VARCHAR)), {_literal(_OFFSET)}) "
        f"THEN instant(TRY_CAST(trim(CAST(x AS VARCHAR)) AS TIMESTAMPTZ), x) "
        f"WHEN regexp_matches(trim(CAST(x AS VARCHAR)), {_literal(_ISO)}) "
        f"THEN naive_time(iso_parsed(trim(CAST(x AS VARCHAR))), x) ELSE refused_as('BAD_TIME', x) END",
        _epoch("epoch_s", 1_000_000, r"^-?[0-9]{1,11}(\.[0-9]{1,6})?$"),
        _epoch("epoch_ms", 1_000, r"^-?[0-9]{1,14}$"),
    ]


def _epoch(name: str, factor: int, pattern: str) -> str:
    micros = f"CAST(CAST(trim(CAST(x AS VARCHAR)) AS DECIMAL(24, 6)) * {factor} AS BIGINT)"
    return (
        f"CREATE MACRO {name}(x) AS CASE WHEN x IS NULL THEN NULL "
        f"WHEN regexp_matches(trim(CAST(x AS VARCHAR)), {_literal(pattern)}) "
        f"THEN strftime(make_timestamp({micros}), '%Y-%m-%dT%H:%M:%S.%fZ') ELSE refused_as('BAD_TIME', x) END"
    )
