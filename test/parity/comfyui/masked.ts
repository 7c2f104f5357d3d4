/** Answers compared apart from what a recording masks: `<time>`, `<uuid>`, `<prompt-1>` and the like. The same mask stands for the same value. */

const patterns: Readonly<Record<string, RegExp>> = {
  uuid: /[0-9a-f-]{32,36}/,
  path: /.*/,
  base: /.*/,
  date: /\d{4}-\d{2}-\d{2}/,
};

/** Names that masks stand for so far. */
export type Masks = Map<string, string>;

/** Where a value differs from the recorded one, or undefined. */
export function differenceFrom(got: unknown, want: unknown, masks: Masks, at = ''): string | undefined {
  if (want === '<time>') return typeof got === 'number' ? undefined : `${at}: ${JSON.stringify(got)} is no time`;
  if (typeof want === 'string') return differentText(got, want, masks, at);
  if (Array.isArray(want)) {
    if (!Array.isArray(got) || got.length !== want.length) return `${at}: ${short(got)}, recorded ${short(want)}`;
    return firstOf(want.map((value, i) => differenceFrom(got[i], value, masks, `${at}[${i}]`)));
  }
  if (typeof want === 'object' && want !== null) {
    if (typeof got !== 'object' || got === null) return `${at}: ${short(got)}, recorded ${short(want)}`;
    const [ours, theirs] = [got as Record<string, unknown>, keysOf(want as Record<string, unknown>, masks)];
    const missing = [...theirs.keys()].find((key) => !Object.hasOwn(ours, key));
    const further = Object.keys(ours).find((key) => !theirs.has(key));
    if (missing !== undefined || further !== undefined)
      return `${at}: keys ${short(Object.keys(ours))}, recorded ${short([...theirs.keys()])}`;
    return firstOf([...theirs].map(([key, value]) => differenceFrom(ours[key], value, masks, `${at}.${key}`)));
  }
  return Object.is(got, want) || got === want ? undefined : `${at}: ${short(got)}, recorded ${short(want)}`;
}

const firstOf = (found: readonly (string | undefined)[]): string | undefined =>
  found.find((text) => text !== undefined);

const short = (value: unknown): string => JSON.stringify(value)?.slice(0, 300) ?? 'nothing';

/** Keys may be masked too: histories are by the prompts' ids. */
function keysOf(want: Readonly<Record<string, unknown>>, masks: Masks): Map<string, unknown> {
  return new Map(Object.entries(want).map(([key, value]) => [unmasked(key, masks), value]));
}

/** A text with the names that are known for its masks. */
export const unmasked = (text: string, masks: Masks): string =>
  text.replace(/<[a-z]+-[\w]+>|<id>/g, (mask) => masks.get(mask) ?? mask);

function differentText(got: unknown, want: string, masks: Masks, at: string): string | undefined {
  const wrong = `${at}: ${short(got)}, recorded ${short(want)}`;
  if (typeof got !== 'string') return wrong;
  const names: string[] = [];
  const source = unmasked(want, masks)
    .split(/(<[a-z]+(?:-\w+)?>|<5 letters>)/)
    .map((part) => {
      const mask = /^<([a-z]+)(-\w+)?>$/.exec(part);
      if (part === '<5 letters>') return '[a-z]{5}';
      if (!mask?.[1] || !(mask[2] || Object.hasOwn(patterns, mask[1]) || mask[1] === 'id')) return escaped(part);
      if (!mask[2] && mask[1] !== 'id') return (patterns[mask[1]] as RegExp).source;
      names.push(part);
      return '([\\w-]+)';
    })
    .join('');
  const found = new RegExp(`^${source}$`, 's').exec(got);
  if (!found) return wrong;
  for (const [i, name] of names.entries()) masks.set(name, found[i + 1] ?? '');
  return undefined;
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
