"""PageRank over imports, and the cycles among imports that run when a module is loaded."""

from collections import Counter, deque

DAMPING = 0.85
ROUNDS = 60


def execute(context, *, graph):
    """Return modules by PageRank, and each cycle as its shortest loop and all its members."""
    names = [module["module"] for module in graph["modules"]]
    imports = {name: [] for name in names}
    for importer, imported in graph["edges"]:
        imports[importer].append(imported)
    scores = page_rank(names, imports)
    importers = Counter(target for _, target in graph["edges"])
    ranking = [
        {"module": name, "rank": round(scores[name], 8), "importers": importers[name]}
        for name in sorted(names, key=lambda name: (-scores[name], name))
    ]
    cycles = [
        {"loop": shortest_loop(group, imports), "members": sorted(group)}
        for group in components(names, imports)
        if len(group) > 1
    ]
    cycles.sort(key=lambda cycle: (-len(cycle["members"]), cycle["loop"]))
    return {"ranking": ranking, "cycles": cycles}


def page_rank(names, imports):
    """Each module shares its score among what it imports; a module without imports, among all."""
    count = len(names)
    scores = dict.fromkeys(names, 1 / count)
    for _ in range(ROUNDS):
        idle = sum(scores[name] for name in names if not imports[name])
        following = dict.fromkeys(names, (1 - DAMPING) / count + DAMPING * idle / count)
        for name in names:
            for target in imports[name]:
                following[target] += DAMPING * scores[name] / len(imports[name])
        scores = following
    return scores


def components(names, imports):
    """Strongly connected components by Tarjan's algorithm, with a stack of our own."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []
    for start in names:
        if start in index:
            continue
        work = [(start, iter(imports[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            name, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[name])
                if low[name] == index[name]:
                    group = []
                    while not group or group[-1] != name:
                        group.append(stack.pop())
                        on_stack.discard(group[-1])
                    found.append(group)
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(imports[target])))
            elif target in on_stack:
                low[name] = min(low[name], index[target])
    return found


def shortest_loop(group, imports):
    """The shortest way from a member of a component back to itself."""
    members, best = set(group), None
    for start in sorted(group):
        before, queue = {start: None}, deque([start])
        while queue:
            name = queue.popleft()
            if start in imports[name]:
                loop = []
                while name is not None:
                    loop.append(name)
                    name = before[name]
                if best is None or len(loop) < len(best):
                    best = loop[::-1]
                break
            for target in imports[name]:
                if target in members and target not in before:
                    before[target] = name
                    queue.append(target)
    return best
