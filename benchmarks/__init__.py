"""The benchmark suite: how fast Relay is, on real parts, beside the floor that the machine sets.

`make bench` runs every row, `make bench ROWS=launch,arming N=5000 ROUNDS=3 OUT=results.json` some of them.

A **row** (`benchmarks/rows/`) is one line of the table. It has a **trial**, the measurement itself, and mostly a
**floor**: the least that any program would have to do for the same outcome, at the same concurrency, against the same
parts. Trial and floor of a row take turns, and the share is taken round by round, because a machine's speed drifts.

To add one, write a module in `benchmarks/rows/` with `ROWS`, and name it in `MODULES` of `benchmarks/rows/__init__.py`:

    async def relayed(platform: Platform, size: int) -> Measurement:
        shop = await make_shop(platform, contacts=size)  # tenant, sender, template: benchmarks/shop.py
        with platform.window() as window:                # the clock, and the processor time of each part
            ...                                          # the work, and nothing else
        platform.require(stored == size, "every event is stored")  # a wrong count is no result
        return Measurement(value=size / window.seconds, units=size, window=window, facts={"p99_ms": 12.5})

    ROWS = [
        Row(
            name="relay", title="...", unit="events/s", size=20_000, target=1_500,
            trial=Trial(measure=relayed, needs=frozenset({"engine", "worker"})),
            floor=Trial(measure=bare, says="the same without ...", needs=frozenset()), floor_share=0.6,
        )
    ]

`Platform` (`benchmarks/platform.py`) is what a trial is given. Each trial has one of its own, in a new directory:
PostgreSQL with the schema always, and of `engine`, `worker`, `api`, `stub` what it `needs`. Each part is a process,
started as `relay up` does it, with `Trial.settings` (fields of `app.settings.Settings`). The platform has `settings`
(addresses included), `sessions` (the database as the application sees it), `client` (the engine), `stub` (the provider)
and `pids`. From its first moment to its last the memory of every part is sampled twice a second, and whatever
`platform.progress(name, count)` is told is kept for the plot.

`benchmarks/load.py` makes HTTP requests as fast as a server takes them, or at a pace. `benchmarks/stub.py` is the
provider. `benchmarks/figures.py` has medians and percentiles.
"""
