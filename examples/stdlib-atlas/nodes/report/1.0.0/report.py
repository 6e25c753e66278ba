"""One HTML page with everything in it: no other file and no network is needed to read it."""

from collections import defaultdict
from html import escape
from pathlib import Path
from string import Template

ROWS = 20
CYCLES = 12
CHART_WIDTH, ROW_HEIGHT, LABEL_WIDTH = 1100, 26, 110
COLOURS = ["#2a9d8f", "#e9c46a", "#f4a261", "#6ca6c1", "#d6483c", "#b497d6"]


def execute(context, *, root, picture, modules, rank, timeline):
    """Write the page; ``summary`` repeats its main numbers."""
    functions = sum(module["functions"] for module in modules)
    summary = {
        "modules": len(modules),
        "lines": sum(module["lines"] for module in modules),
        "functions": functions,
        "mean_complexity": round(sum(m["complexity"] for m in modules) / max(functions, 1), 2),
        "cycles": len(rank["cycles"]),
        "unparsed": sum(module["error"] is not None for module in modules),
    }
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=escape(title_of(root)),
        root=escape(root),
        numbers=numbers(summary),
        picture=Path(picture).read_text(encoding="utf-8"),
        ranking=ranking(rank["ranking"]),
        hardest=hardest(modules),
        cycles=cycles(rank["cycles"]),
        timeline=chart(timeline),
        slowest=slowest(timeline),
    )
    file = context.workdir / "atlas.html"
    file.write_text(page, encoding="utf-8")
    return {"report": context.artifact(file.name), "summary": summary}


def title_of(root):
    name = Path(root).name
    return f"the standard library of {name}" if name.startswith("python3") else name


def numbers(summary):
    labels = {
        "modules": "modules", "lines": "lines", "functions": "functions",
        "mean_complexity": "mean complexity", "cycles": "import cycles", "unparsed": "files not parsed",
    }
    return "".join(f"<div><b>{summary[key]:,}</b><span>{label}</span></div>" for key, label in labels.items())


def table(headings, rows):
    head = "".join(f'<th class="{kind}">{text}</th>' for text, kind in headings)
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(row, headings, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def bar(share, style=""):
    return f'<div class="bar {style}" style="width:{max(share, 0.01) * 100:.0f}%"></div>'


def ranking(entries):
    top = entries[0]["rank"] if entries else 1
    rows = [
        (f'<span class="mono">{escape(e["module"])}</span>', bar(e["rank"] / top), e["importers"])
        for e in entries[:ROWS]
    ]
    return table([("module", ""), ("rank", ""), ("imported by", "number")], rows)


def hardest(modules):
    found = sorted((m for m in modules if m["hardest"]), key=lambda m: -m["hardest"]["complexity"])[:ROWS]
    top = found[0]["hardest"]["complexity"] if found else 1
    rows = [
        (
            f'<span class="mono">{escape(m["module"])}.{escape(m["hardest"]["name"])}</span>',
            bar(m["hardest"]["complexity"] / top, "hot"),
            m["hardest"]["complexity"],
        )
        for m in found
    ]
    return table([("function", ""), ("complexity", ""), ("", "number")], rows)


def cycles(found):
    if not found:
        return "<p>There are none.</p>"
    parts = []
    for cycle in found[:CYCLES]:
        loop = "<i>→</i>".join(map(escape, [*cycle["loop"], cycle["loop"][0]]))
        more = len(cycle["members"]) - len(cycle["loop"])
        others = [m for m in cycle["members"] if m not in cycle["loop"]][:10]
        rest = f'<br><small>{more} more in the same knot: {escape(", ".join(others))}{" …" if more > 10 else ""}</small>' if more else ""
        parts.append(f'<div class="cycle"><span class="loop mono">{loop}</span>{rest}</div>')
    if len(found) > CYCLES:
        parts.append(f"<p>{len(found) - CYCLES} smaller ones are left out.</p>")
    return "".join(parts)


def chart(timeline):
    """Steps as rows, calls as bars, from the start of the run to the start of this step."""
    steps = defaultdict(list)
    for call in timeline:
        steps[call["step"]].append(call)
    end = max((c["started_seconds"] + c["seconds"] for c in timeline), default=0) or 1e-9
    room = CHART_WIDTH - LABEL_WIDTH - 90
    height = ROW_HEIGHT * len(steps) + 24
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CHART_WIDTH} {height}" font-family="system-ui, sans-serif">']
    for row, (step, calls) in enumerate(steps.items()):
        y, colour = row * ROW_HEIGHT + 4, COLOURS[row % len(COLOURS)]
        parts.append(f'<text x="{LABEL_WIDTH - 10}" y="{y + 14}" text-anchor="end" font-size="13" fill="#f4f7fa">{escape(step)}</text>')
        for call in calls:
            x = LABEL_WIDTH + room * call["started_seconds"] / end
            width = max(room * call["seconds"] / end, 1.2)
            opacity = 0.35 if call["cached"] else 0.9
            note = "from the cache" if call["cached"] else f'{call["seconds"]:.3f} s'
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW_HEIGHT - 10}" rx="2" fill="{colour}" opacity="{opacity}">'
                f'<title>{escape(call["id"])}: {note}</title></rect>'
            )
        busy = sum(call["seconds"] for call in calls)
        cached = sum(call["cached"] for call in calls)
        label = "cached" if cached == len(calls) else f"{busy:.2f} s"
        parts.append(f'<text x="{CHART_WIDTH - 84}" y="{y + 14}" font-size="12" fill="#9fb3c8">{label}{f" × {len(calls)}" if len(calls) > 1 else ""}</text>')
    parts.append(f'<text x="{LABEL_WIDTH}" y="{height - 4}" font-size="11" fill="#9fb3c8">0 s</text>')
    parts.append(f'<text x="{LABEL_WIDTH + room}" y="{height - 4}" text-anchor="end" font-size="11" fill="#9fb3c8">{end:.2f} s</text></svg>')
    return "".join(parts)


def slowest(timeline):
    ran = sorted((call for call in timeline if not call["cached"]), key=lambda call: -call["seconds"])[:10]
    if not ran:
        return "<p>Every call came from the cache.</p>"
    top = ran[0]["seconds"] or 1
    rows = [(f'<span class="mono">{escape(label(call))}</span>', bar(call["seconds"] / top), f'{call["seconds"] * 1000:.1f} ms') for call in ran]
    return table([("slowest calls", ""), ("", ""), ("", "number")], rows)


def label(call):
    """The module that a call was about, where it was one of many, else its step."""
    item = call["item"]
    return f'{call["step"]} {item["module"]}' if isinstance(item, dict) and "module" in item else call["id"]
