/** Changed files, each known by a seed and a number alone, so that the process that makes them and the one that watches it mean the same. */

/** splitmix32: whole numbers below `limit`. */
function numbersOf(seed: number, index: number): (limit: number) => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0;
  return (limit) => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % limit;
  };
}

const mostEdits = 6;
/** Values at which programs go wrong: lengths, signs, the ends of ranges. */
const interesting: readonly (readonly number[])[] = [
  [0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 0],
  [0x7f, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0x7f],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  [0x80],
  [0x30],
  [0x2d, 0x31],
  [0x31, 0x65, 0x39, 0x39],
];

/** A file of the corpus with a few changes: bytes set, cut out, doubled, put in, moved by a bit, or taken from another file. */
export function mutant(corpus: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const number = numbersOf(seed, index);
  const any = (): Uint8Array => corpus[number(corpus.length)] ?? new Uint8Array();
  let bytes = Buffer.from(any());
  for (let edits = number(mostEdits + 1); edits > 0; edits--) {
    const at = bytes.length === 0 ? 0 : number(bytes.length);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    const kind = number(7);
    if (kind === 0) {
      const patch = Buffer.from(Array.from({ length: 1 + number(8) }, () => number(256)));
      bytes = Buffer.concat([before, patch, after.subarray(patch.length)]);
    } else if (kind === 1) bytes = Buffer.concat([before, after.subarray(number(65))]);
    else if (kind === 2) bytes = Buffer.concat([before, after.subarray(0, number(65)), after]);
    else if (kind === 3) {
      const special = Buffer.from(interesting[number(interesting.length)] ?? []);
      bytes = Buffer.concat([before, special, after.subarray(special.length)]);
    } else if (kind === 4) {
      const donor = any();
      bytes = Buffer.concat([before, donor.subarray(donor.length === 0 ? 0 : number(donor.length))]);
    } else if (kind === 5) {
      const special = Buffer.from(interesting[number(interesting.length)] ?? []);
      bytes = Buffer.concat([before, special, after]);
    } else if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << number(8));
  }
  return new Uint8Array(bytes);
}
