"""Print every committed result as a Markdown table with its bars: python bench/table.py."""

import json

from harness import RESULTS


def main() -> None:
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        header, *rows = found["table"]
        print(f"### {found['what']}\n")
        for row in (header, ["---"] * len(header), *rows):
            print(f"| {' | '.join(row)} |")
        print()
        for b in found["bars"]:
            print(f"- {'met' if b['met'] else 'MISSED'}: {b['says']}")
        where = found["machine"]
        print(f"\n{where['cores']} cores of {where['cpu']}, load before: {where['load_before']:.1f}, {where['date']}\n")


if __name__ == "__main__":
    main()
