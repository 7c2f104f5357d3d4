/** The names most like a mistyped one, for error messages: by Levenshtein distance (1966) on letters, digits and `+` in lower case. */

function reduced(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9+]/g, '');
}

/** Number of insertions, deletions and replacements that make `b` of `a`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** Up to `count` of `names`, the nearest first; none that differs from `name` in more than half of its length. */
export function nearNames(name: string, names: readonly string[], count = 5): readonly string[] {
  const wanted = reduced(name.slice(0, 100));
  return names
    .map((candidate) => ({
      candidate,
      distance: editDistance(wanted, reduced(candidate)),
      length: Math.max(wanted.length, reduced(candidate).length),
    }))
    .filter(({ distance, length }) => distance <= length / 2)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}
