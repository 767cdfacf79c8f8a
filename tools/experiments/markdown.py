"""Tables and figures of RESULTS.md, as Markdown."""

import statistics


def table(header, rows):
    """A table; the first column is text, the others are figures."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def percent(values):
    """Mean and standard deviation of shares, in per cent."""
    values = [100 * value for value in values]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def kilobytes(count):
    """A count of bytes in kB."""
    return f"{count / 1000:.1f}"
