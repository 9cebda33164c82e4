"""What more seeds cost: PPO on CartPole-v1 with 1, 2, 4, 8 and 16 of them vmapped into one program."""

import os

from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said

COUNTS, UPDATES = (1, 2, 4, 8, 16), 10


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load = os.getloadavg()[0]
    workers = {str(count): Worker("ppo_ours.py", count, UPDATES) for count in COUNTS}
    runs = in_turns(workers, "chunk", options.rounds)
    firsts = {name: worker.first for name, worker in workers.items()}
    for worker in workers.values():
        worker.__exit__()
    wall, processor = (
        {name: ratio(column(rs, key), column(runs["1"], key)) for name, rs in runs.items()}
        for key in ("wall_s", "cpu_s")
    )
    header = ("seeds", "env steps/s", "wall time of one", "processor time of one", "compile s", "peak MiB")
    rows: list[tuple] = [header]
    for name, rs in runs.items():
        speed, compiling = rs[0]["steps"] / median(rs, "wall_s"), firsts[name]["compile_s"]
        rows.append((name, speed, said(wall[name]), said(processor[name]), compiling, max(column(rs, "peak_mib"))))
    found = {
        "what": "PPO on CartPole-v1, vmapped seeds in one program",
        "wall_ratio": wall,
        "processor_ratio": processor,
        "chunks": runs,
        "cold": firsts,
        "load_before": load,
        "bars": [
            bar(f"8 seeds cost at most 8x one: {said(wall['8'])}, {said(processor['8'])} of its processor time",
                wall["8"]["ratio"] <= 8)
        ],
    }  # fmt: skip
    finish("seeds", found, rows)


if __name__ == "__main__":
    main()
