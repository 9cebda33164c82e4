"""Print every committed result as a Markdown table with its bars: python bench/table.py."""

import json

from harness import RESULTS

OUTCOMES = {True: "met", False: "MISSED", None: "undecided"}


def main() -> None:
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        header, *rows = found["table"]
        print(f"### {found['what']}\n")
        for row in (header, ["---"] * len(header), *rows):
            print(f"| {' | '.join(row)} |")
        print()
        for b in found["bars"]:
            print(f"- {OUTCOMES[b['met']]}: {b['says']}")
        where, load = found["machine"], found["machine"]["load_before"]
        before = "" if load is None else f"load before: {load:.1f}, "
        print(f"\n{where['cores']} cores of {where['cpu']}, {before}{where['date']}\n")


if __name__ == "__main__":
    main()
