"""A squarified treemap (Bruls, Huizing and van Wijk, 2000) of packages and their modules."""

from html import escape

WIDTH, HEIGHT, MARGIN, TITLE, LEGEND = 1600, 1000, 8, 18, 54
STOPS = [(0.0, (38, 70, 83)), (0.3, (42, 157, 143)), (0.6, (233, 196, 106)), (0.8, (244, 162, 97)), (1.0, (214, 72, 60))]
OUTLINED = 12


def execute(context, *, modules, ranking):
    """Write the picture and return it as an artifact."""
    drawn = [{**module, "lines": max(module["lines"], 1)} for module in modules]
    rates = sorted(module["mean_complexity"] for module in drawn if module["functions"])
    worst = rates[int(len(rates) * 0.97)] if rates else 1.0
    important = {entry["module"] for entry in ranking[:OUTLINED]}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + LEGEND}" '
        'role="img" aria-label="Treemap of modules" font-family="system-ui, sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT + LEGEND}" fill="#10161d"/>',
    ]
    groups = grouped(drawn)
    totals = [sum(module["lines"] for module in members) for _, members in groups]
    for (name, members), box in zip(groups, squarify(totals, (0, LEGEND, WIDTH, HEIGHT)), strict=True):
        parts += draw_group(name, members, box, worst, important)
    parts += legend(len(drawn), worst)
    parts.append("</svg>")
    file = context.workdir / "atlas.svg"
    file.write_text("\n".join(parts), encoding="utf-8")
    return {"picture": context.artifact(file.name)}


def grouped(modules):
    """Packages with their modules, largest first; modules outside packages form one group."""
    groups = {}
    packages = {m["module"].partition(".")[0] for m in modules if "." in m["module"]}
    for module in modules:
        top = module["module"].partition(".")[0]
        groups.setdefault(top if top in packages else "modules", []).append(module)
    ordered = sorted(groups.items(), key=lambda item: (-sum(m["lines"] for m in item[1]), item[0]))
    return [(name, sorted(members, key=lambda m: (-m["lines"], m["module"]))) for name, members in ordered]


def squarify(sizes, box):
    """A rectangle for each size, in order, with areas in proportion and sides near to square."""
    x, y, width, height = box
    scale = width * height / sum(sizes)
    areas = [size * scale for size in sizes]
    boxes, start = [], 0
    while start < len(areas):
        side = min(width, height)
        end, best = start + 1, worst_ratio(areas[start : start + 1], side)
        while end < len(areas):
            ratio = worst_ratio(areas[start : end + 1], side)
            if ratio > best:
                break
            best, end = ratio, end + 1
        row = areas[start:end]
        depth = sum(row) / side if side else 0
        offset = 0.0
        for area in row:
            length = area / depth if depth else 0
            if width >= height:
                boxes.append((x, y + offset, depth, length))
            else:
                boxes.append((x + offset, y, length, depth))
            offset += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        start = end
    return boxes


def worst_ratio(row, side):
    total = sum(row)
    if not total or not side:
        return float("inf")
    return max(max(side**2 * area / total**2, total**2 / (side**2 * area)) for area in row)


def draw_group(name, members, box, worst, important):
    x, y, width, height = box
    header = TITLE if height > 60 and width > 60 else 0
    inner = (x + 2, y + header + 1, max(width - 4, 1), max(height - header - 3, 1))
    parts = [f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#1b2430" stroke="#10161d" stroke-width="2"/>']
    if header:
        parts.append(
            f'<text x="{x + 6:.1f}" y="{y + 13:.1f}" font-size="12" font-weight="600" fill="#9fb3c8">'
            f"{escape(clip(name, width, 7.2))}</text>"
        )
    for module, (mx, my, mw, mh) in zip(members, squarify([m["lines"] for m in members], inner), strict=True):
        share = min(module["mean_complexity"] / worst, 1.0) if worst else 0.0
        red, green, blue = colour(share)
        stroke = ' stroke="#ffffff" stroke-width="2.5"' if module["module"] in important else ' stroke="#10161d" stroke-width="0.7"'
        hardest = module["hardest"]
        about = f'{module["module"]}: {module["lines"]} lines, {module["functions"]} functions, mean complexity {module["mean_complexity"]}'
        if hardest:
            about += f', hardest {hardest["name"]} ({hardest["complexity"]})'
        parts.append(
            f'<rect class="module" data-module="{escape(module["module"])}" x="{mx:.1f}" y="{my:.1f}" width="{max(mw - 0.6, 0.4):.1f}" height="{max(mh - 0.6, 0.4):.1f}" '
            f'fill="rgb({red},{green},{blue})"{stroke}><title>{escape(about)}</title></rect>'
        )
        if mw > 44 and mh > 16:
            size = 11 if mw < 120 else 13
            ink = "#10161d" if 0.3 * red + 0.6 * green + 0.1 * blue > 120 else "#f4f7fa"
            label = clip(module["module"].rpartition(".")[2], mw, size * 0.6)
            parts.append(
                f'<text x="{mx + 4:.1f}" y="{my + size + 2:.1f}" font-size="{size}" fill="{ink}" pointer-events="none">{escape(label)}</text>'
            )
    parts.append("</g>")
    return parts


def colour(share):
    for (low, first), (high, second) in zip(STOPS, STOPS[1:], strict=False):
        if share <= high:
            part = (share - low) / (high - low)
            return tuple(round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return STOPS[-1][1]


def clip(text, width, per_character):
    room = int((width - 8) / per_character)
    return text if len(text) <= room else text[: max(room - 1, 1)] + "…"


def legend(count, worst):
    parts = [
        f'<text x="{MARGIN}" y="24" font-size="20" font-weight="700" fill="#f4f7fa">{count} modules, sized by lines of code</text>',
        f'<text x="{MARGIN}" y="43" font-size="12" fill="#9fb3c8">outlined: the {OUTLINED} modules that matter most to the others</text>',
        f'<text x="{WIDTH - 452}" y="24" font-size="12" text-anchor="end" fill="#9fb3c8">mean complexity of a function: 1</text>',
        f'<text x="{WIDTH - MARGIN}" y="24" font-size="12" text-anchor="end" fill="#9fb3c8">{worst:.1f} and more</text>',
    ]
    for index in range(60):
        red, green, blue = colour(index / 59)
        parts.append(f'<rect x="{WIDTH - 440 + index * 5.6:.1f}" y="12" width="5.8" height="14" fill="rgb({red},{green},{blue})"/>')
    return parts
