"""Registry types as Spark types. Pure Python, so that it also works inside a worker without a JVM."""

import re

from pyspark.sql import types as t

from fraud_domain.tables import Column, TableSpec

_SIMPLE: dict[str, t.DataType] = {
    "string": t.StringType(),
    "binary": t.BinaryType(),
    "int": t.IntegerType(),
    "bigint": t.LongType(),
    "double": t.DoubleType(),
    "boolean": t.BooleanType(),
    "date": t.DateType(),
    "timestamp": t.TimestampType(),
}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_NESTED = re.compile(r"(array|struct)<(.*)>")


def spark_type(name: str) -> t.DataType:
    """The Spark type called `name` in the table registry.

    Raises:
        ValueError: the registry uses a type this function does not know.
    """
    if name in _SIMPLE:
        return _SIMPLE[name]
    if match := _DECIMAL.fullmatch(name):
        return t.DecimalType(int(match[1]), int(match[2]))
    if match := _NESTED.fullmatch(name):
        if match[1] == "array":
            return t.ArrayType(spark_type(match[2]))
        fields = (field.split(":", 1) for field in match[2].split(","))
        return t.StructType([t.StructField(key, spark_type(kind)) for key, kind in fields])
    raise ValueError(f"unknown column type '{name}'")


def columns_schema(columns: tuple[Column, ...]) -> t.StructType:
    """Spark schema of some columns, nullability as declared."""
    return t.StructType([t.StructField(c.name, spark_type(c.type), c.nullable) for c in columns])


def table_schema(spec: TableSpec) -> t.StructType:
    """Spark schema of a table."""
    return columns_schema(spec.columns)
