"""The figures of tests/bench/run as tables in Markdown: medians over the rounds, and beside each the worst round."""

from statistics import median

#            head                          key           how it is written
PER_REQUEST = [("CPU µs", "cpu_us", "{:.2f}"), ("÷ bare", "ratio", "{:.2f}"), ("p50 µs", "p50_us", "{:.0f}"),
               ("p99 µs", "p99_us", "{:.0f}"), ("p99.9 µs", "p999_us", "{:.0f}"), ("longest µs", "worst_us", "{:.0f}")]
COLUMNS = {
    "closed": PER_REQUEST, "open": PER_REQUEST, "h2": PER_REQUEST,
    "idle": [("bytes for each", "bytes_each", "{:.0f}")],
    "memory": [("bytes for each", "bytes_each", "{:.0f}"), ("all that is in its file", "file_bytes_each", "{:.0f}")],
    "coalesce": [("requests to the origin", "asked", "{:.0f}"), ("half of them within ms", "p50_ms", "{:.0f}"), ("slowest ms", "slowest_ms", "{:.0f}")],
}


def opening(result):
    machine = result["machine"]
    lines = [f"Commit {result['commit']}, {result['when']}; {machine['processor']}, {machine['processors']} processors, {machine['system']}, "
             f"Linux {machine['kernel']}, load {machine['load']:.1f}.",
             f"Interleaved rounds: {result['rounds']}, {result['seconds']:g} s for each. A figure is the median over the rounds, in brackets the worst round."]
    lines += [f"- {name}: {said}{', ' + result['notes'][name] if name in result['notes'] else ''}" for name, said in result["versions"].items() if said]
    return "\n".join(lines) + "\n"


def cell(rounds, key, form):
    values = [told[key] for told in rounds if key in told]
    if not values:
        return "–"
    return f"{form.format(median(values))} ({form.format(max(values))})"


def remarks(rounds):
    """What makes a row less than it seems."""
    said = [told["note"] for told in rounds if "note" in told][:1]
    errors = sum(told.get("errors", 0) for told in rounds)
    if errors:
        said.append(f"{errors} errors")
    return "; ".join(said)


def of_scenario(name, result):
    played = result["scenarios"][name]
    columns = COLUMNS[played["kind"]]
    has_rate = "per_s" in next((told for rounds in played["contestants"].values() for told in rounds), {})
    heads = [head for head, _, _ in columns] + (["requests/s"] if has_rate else [])
    offered = f", {played['offered_per_s']:.0f}/s" if "offered_per_s" in played else ""
    lines = [f"### {name}", f"{played['what'][0].upper()}{played['what'][1:]}{offered}.", "",
             "| | " + " | ".join(heads) + " | |", "|---|" + "---:|" * len(heads) + "---|"]
    for contestant, rounds in played["contestants"].items():
        cells = [cell(rounds, key, form) for _, key, form in columns]
        cells += [f"{median(told['per_s'] for told in rounds):.0f} ({min(told['per_s'] for told in rounds):.0f})"] if has_rate else []
        lines.append(f"| {contestant} | " + " | ".join(cells) + f" | {remarks(rounds)} |")
    why = [f"{contestant}: {reason}" for contestant, reason in played["left_out"].items()]
    return "\n".join(lines) + ("\n\nLeft out: " + "; ".join(why) + "." if why else "") + "\n"
