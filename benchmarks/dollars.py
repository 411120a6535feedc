"""What do a million classified texts cost?

Of what `serving.py` measured, CPU time at the price of a core's hour; of an API, what pgkd's own
labelling requests (zero-shot, 20 classes) come to by pgkd's estimate, at the prices of the package
genai-prices, without discounts for batches or caches. Short texts have about 20 tokens, long ones
120.

    python benchmarks/dollars.py
    python benchmarks/dollars.py --core-hour 0.04
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pgkd.distill.estimate import estimate
from pgkd.task import Taxonomy, read_rows
from pgkd.teacher.account.prices import ListedPrices
from pgkd.teacher.labelling import label_request
from serving import COLUMNS, HELPDESK, TEACHER, TEXTS, sample_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
APIS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1-mini"),
    ("anthropic", "claude-haiku-4-5"),
)
MILLION = 1_000_000


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--core-hour", type=float, default=0.0513, help="US dollars an hour of a core")
    add("--times", type=Path, default=HERE / "results" / "serving.json")
    args = parser.parse_args()
    times = json.loads(args.times.read_text(encoding="utf-8"))["times"]
    print("| who | a million short texts | a million long texts |\n|---|---|---|")
    for name, found in times.items():
        batches = [found.get(case, {}).get("median") for case in ("short", "long")]
        each = [None if ms is None else ms / TEXTS for ms in batches]
        if name == TEACHER:
            each[0] = found["short, one"]["median"]
        row(name, [None if ms is None else ms / 1000 / 3600 * args.core_hour for ms in each])
    _, labels = read_rows(HELPDESK / "train.csv", *COLUMNS)
    taxonomy = Taxonomy.from_names(sorted(set(labels)))
    for biller, model in APIS:
        row(
            f"{model}, by its API",
            [api(biller, model, texts, taxonomy) for texts in sample_texts()],
        )
    print(f"\nA core's hour: ${args.core_hour}. Prices of tokens: {ListedPrices('openai').source}.")


def api(biller: str, model: str, texts: Sequence[str], taxonomy: Taxonomy) -> float | None:
    """US dollars of the mean request."""
    requests = ((label_request(text, taxonomy), 0) for text in texts)
    usd = estimate(requests, texts, ListedPrices(biller), model).usd
    return None if usd is None else float(usd) / len(texts)


def row(name: str, dollars: Sequence[float | None]) -> None:
    """A line of the table, from the dollars of one text."""
    cells = ("–" if each is None else f"${MILLION * each:.3g}" for each in dollars)
    print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
