"""DuckDB's point-in-time join: the newest feature row at or before each spine row, Parquet to Parquet.

duckdb_asof.py FEATURES SPINE OUT COLUMNS
"""

import sys

import duckdb

features, spine, out, n_columns = sys.argv[1:]
columns = ", ".join(f"f.f{i}" for i in range(int(n_columns)))

# Row order costs DuckDB time and memory, and nobody asks it for any: `row_id` tells the rows apart.
connection = duckdb.connect(config={"threads": 2, "preserve_insertion_order": "false"})
connection.execute(f"""
    COPY (
        SELECT s.row_id, s.k, s.event_time, {columns}
        FROM read_parquet('{spine}') AS s
        ASOF LEFT JOIN read_parquet('{features}') AS f
        ON s.k = f.k AND s.event_time >= f.event_time
    ) TO '{out}' (FORMAT parquet, COMPRESSION snappy)
""")
